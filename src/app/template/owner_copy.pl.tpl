=== subject
Sprzedaż: zamówienie {{ order.number }}, {{ order.total }}
=== text
Opłacono zamówienie {{ order.number }} z dnia {{ order.placed }}{% if company %} ({{ company }}){% endif %}.
Kupujący: {{ order.buyer_name or "brak nazwiska" }}{% if order.buyer_email %}, {{ order.buyer_email }}{% endif %}
{% for line in lines %}
- {{ line.sku }}, {{ line.title }} x {{ line.quantity }}: {{ line.total }}{% if line.credits %}; {{ line.credits }}{% endif %}
{%- if line.when %}
  {{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}
{%- endif %}
{%- endfor %}
{% if order.discount %}
Rabat: {{ order.discount }}
{%- endif %}
{%- if order.tax and not order.tax_included %}
Podatek: {{ order.tax }}
{%- endif %}
Razem: {{ order.total }}
{%- if order.tax and order.tax_included %}
W tym podatek: {{ order.tax }}
{%- endif %}

Zamówienie zostało zrealizowane w całości. {{ shop.name }}, {{ shop.url }}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Opłacono zamówienie <strong>{{ order.number }}</strong> z dnia {{ order.placed }}{% if company %} ({{ company }}){% endif %}.<br>
Kupujący: {{ order.buyer_name or "brak nazwiska" }}{% if order.buyer_email %}, {{ order.buyer_email }}{% endif %}</p>
<ul>
{% for line in lines %}<li>{{ line.sku }}, {{ line.title }} × {{ line.quantity }}: {{ line.total }}{% if line.credits %}; {{ line.credits }}{% endif %}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}</li>
{% endfor %}</ul>
<p>{% if order.discount %}Rabat: {{ order.discount }}<br>{% endif %}{% if order.tax and not order.tax_included %}Podatek: {{ order.tax }}<br>{% endif %}<strong>Razem: {{ order.total }}</strong>{% if order.tax and order.tax_included %}<br>W tym podatek: {{ order.tax }}{% endif %}</p>
<p>Zamówienie zostało zrealizowane w całości.</p>
{{ button(theme, shop.url, "Otwórz sklep") }}
{% endblock %}
