=== subject
Sold: order {{ order.number }}, {{ order.total }}
=== text
{{ order.buyer_name or "A buyer" }}{% if order.buyer_email %} ({{ order.buyer_email }}){% endif %} has paid order {{ order.number }} of {{ order.placed }}{% if company %} at {{ company }}{% endif %}:
{% for line in lines %}
- {{ line.sku }}, {{ line.title }} x {{ line.quantity }}: {{ line.total }}{% if line.credits %}; {{ line.credits }}{% endif %}
{%- if line.when %}
  {{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}
{%- endif %}
{%- endfor %}
{% if order.discount %}
Discount: {{ order.discount }}
{%- endif %}
{%- if order.tax and not order.tax_included %}
Tax: {{ order.tax }}
{%- endif %}
Total: {{ order.total }}
{%- if order.tax and order.tax_included %}
Tax in it: {{ order.tax }}
{%- endif %}

All that it gives is given. {{ shop.name }}, {{ shop.url }}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>{{ order.buyer_name or "A buyer" }}{% if order.buyer_email %} ({{ order.buyer_email }}){% endif %} has paid order <strong>{{ order.number }}</strong> of {{ order.placed }}{% if company %} at {{ company }}{% endif %}:</p>
<ul>
{% for line in lines %}<li>{{ line.sku }}, {{ line.title }} × {{ line.quantity }}: {{ line.total }}{% if line.credits %}; {{ line.credits }}{% endif %}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}</li>
{% endfor %}</ul>
<p>{% if order.discount %}Discount: {{ order.discount }}<br>{% endif %}{% if order.tax and not order.tax_included %}Tax: {{ order.tax }}<br>{% endif %}<strong>Total: {{ order.total }}</strong>{% if order.tax and order.tax_included %}<br>Tax in it: {{ order.tax }}{% endif %}</p>
<p>All that it gives is given.</p>
{{ button(theme, shop.url, "Open the shop") }}
{% endblock %}
