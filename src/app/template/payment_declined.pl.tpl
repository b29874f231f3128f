=== subject
{{ shop.name }}: płatność za zamówienie {{ order.number }} nie powiodła się
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!

{{ decline.text }} Żadna kwota nie została pobrana.

Zamówienie {{ order.number }} na kwotę {{ order.total }} czeka{% if decline.until %} do {{ decline.until }}{% endif %}. Wróć do sklepu, aby zapłacić inaczej:
{{ shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
<p>{{ decline.text }} Żadna kwota nie została pobrana.</p>
<p>Zamówienie <strong>{{ order.number }}</strong> na kwotę {{ order.total }} czeka{% if decline.until %} do {{ decline.until }}{% endif %}. Wróć do sklepu, aby zapłacić inaczej.</p>
{{ button(theme, shop.url, "Wróć do sklepu") }}
{% endblock %}
