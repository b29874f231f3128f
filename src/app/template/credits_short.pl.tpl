=== subject
{{ shop.name }}: za mało kredytów na „{{ shortage.title }}”
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!

Chcesz otworzyć „{{ shortage.title }}”, ale masz za mało kredytów. Nic nie zostało pobrane.
Koszt – {{ shortage.needed }}
Do wydania – {{ shortage.held }}
Brakuje – {{ shortage.missing }}
{%- if shortage.sales %}

Gdzie dokupić:
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
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
<p>Chcesz otworzyć „{{ shortage.title }}”, ale masz za mało kredytów. Nic nie zostało pobrane.</p>
<p>Koszt – {{ shortage.needed }}<br>Do wydania – {{ shortage.held }}<br>Brakuje – <strong>{{ shortage.missing }}</strong></p>
{% if shortage.sales %}
<p>Gdzie dokupić:</p>
<ul>
{% for sale in shortage.sales %}<li>{{ sale.title }}, {{ sale.credits }}, {{ sale.price }}: {{ sale.url }}</li>
{% endfor %}</ul>
{% endif %}
{{ button(theme, shortage.sales[0].url if shortage.sales else shop.url, "Kup kredyty") }}
{% endblock %}
