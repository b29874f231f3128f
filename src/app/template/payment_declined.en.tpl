=== subject
{{ shop.name }}: the payment for order {{ order.number }} did not go through
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},

{{ decline.text }} Nothing was charged.

Your order {{ order.number }} over {{ order.total }} is kept{% if decline.until %} until {{ decline.until }}{% endif %}. Go back to the shop to pay it another way:
{{ shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
<p>{{ decline.text }} Nothing was charged.</p>
<p>Your order <strong>{{ order.number }}</strong> over {{ order.total }} is kept{% if decline.until %} until {{ decline.until }}{% endif %}. Go back to the shop to pay it another way.</p>
{{ button(theme, shop.url, "Back to the shop") }}
{% endblock %}
