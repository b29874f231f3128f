=== subject
{{ shop.name }}: miejsce na „{{ token.title }}”
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!

{% if company %}{{ company }} przekazuje Ci{% else %}Otrzymujesz{% endif %} miejsce na „{{ token.title }}”. Zaloguj się w {{ shop.name }} i wykorzystaj ten kod{% if token.ends %} do {{ token.ends }}{% endif %}:

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
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
<p>{% if company %}{{ company }} przekazuje Ci{% else %}Otrzymujesz{% endif %} miejsce na „{{ token.title }}”. Zaloguj się w {{ shop.name }} i wykorzystaj ten kod{% if token.ends %} do {{ token.ends }}{% endif %}:</p>
<p><code style="font-size:18px">{{ token.code }}</code></p>
{% if token.when %}<p>{{ token.when }}{% if token.place %}, {{ token.place }}{% endif %}</p>
{% endif %}{{ button(theme, link or shop.url, "Zaloguj się") }}
{% endblock %}
