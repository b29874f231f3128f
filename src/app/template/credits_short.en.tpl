=== subject
{{ shop.name }}: {{ shortage.missing }} missing for {{ shortage.title }}
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},

you wanted to open "{{ shortage.title }}". It costs {{ shortage.needed }} and you can spend {{ shortage.held }} on it; {{ shortage.missing }} are missing. Nothing was taken.
{%- if shortage.sales %}

Where to get more:
{%- for sale in shortage.sales %}
- {{ sale.title }}, {{ sale.credits }}, {{ sale.price }}: {{ sale.url }}
{%- endfor %}
{%- endif %}

{{ shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
<p>you wanted to open “{{ shortage.title }}”. It costs {{ shortage.needed }} and you can spend {{ shortage.held }} on it; <strong>{{ shortage.missing }}</strong> are missing. Nothing was taken.</p>
{% if shortage.sales %}
<p>Where to get more:</p>
<ul>
{% for sale in shortage.sales %}<li>{{ sale.title }}, {{ sale.credits }}, {{ sale.price }}: {{ sale.url }}</li>
{% endfor %}</ul>
{% endif %}
{{ button(theme, shortage.sales[0].url if shortage.sales else shop.url, "Get credits") }}
{% endblock %}
