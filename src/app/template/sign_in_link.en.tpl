=== subject
{% if company %}{{ company }} invites you to {{ shop.name }}{% else %}{{ shop.name }}: your link to sign in{% endif %}
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},
{% if lines %}
this was bought for you and is waiting:
{%- for line in lines %}
- {{ line.title }}
{%- if line.when %}
  {{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}
{%- endif %}
{%- endfor %}
{% elif company %}
{{ company }} has added you to its people at {{ shop.name }}.
{% endif %}
This link signs you in once, until {{ link_ends }}. It proves that this address is yours; you can choose a password there:
{{ link }}

If you did not expect this, leave it: without the link nothing happens.
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
{% if lines %}<p>this was bought for you and is waiting:</p>
<ul>
{% for line in lines %}<li>{{ line.title }}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}</li>
{% endfor %}</ul>
{% elif company %}<p>{{ company }} has added you to its people at {{ shop.name }}.</p>
{% endif %}<p>The button signs you in once, until {{ link_ends }}. It proves that this address is yours; you can choose a password there.</p>
{{ button(theme, link, "Sign in") }}
<p>If you did not expect this, leave it: without the link nothing happens.</p>
{% endblock %}
