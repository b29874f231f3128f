=== subject
{{ shop.name }}: your seat in {{ token.title }}
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},

{% if company %}{{ company }} has{% else %}somebody has{% endif %} a seat in "{{ token.title }}" for you. Sign in at {{ shop.name }} and redeem this code{% if token.ends %} until {{ token.ends }}{% endif %}:

{{ token.code }}
{% if token.when %}
{{ token.when }}{% if token.place %}, {{ token.place }}{% endif %}
{% endif %}
{{ link or shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
<p>{% if company %}{{ company }} has{% else %}somebody has{% endif %} a seat in “{{ token.title }}” for you. Sign in at {{ shop.name }} and redeem this code{% if token.ends %} until {{ token.ends }}{% endif %}:</p>
<p><code style="font-size:18px">{{ token.code }}</code></p>
{% if token.when %}<p>{{ token.when }}{% if token.place %}, {{ token.place }}{% endif %}</p>
{% endif %}{{ button(theme, link or shop.url, "Sign in") }}
{% endblock %}
