=== subject
{{ shop.name }}: your order {{ order.number }}
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},

thank you. Your payment is in, and this is yours now (order {{ order.number }}, {{ order.placed }}):
{%- for line in lines %}

- {{ line.title }}{% if line.quantity > 1 %} x {{ line.quantity }}{% endif %}: {{ line.total }}
{%- if line.credits %}
  {{ line.credits }}
{%- endif %}
{%- if line.when %}
  {{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}
{%- endif %}
{%- if line.learner %}
  for {{ line.learner }}
{%- endif %}
{%- for code in line.codes %}
  {{ code }}
{%- endfor %}
{%- if line.more_codes %}
  and {{ line.more_codes }} more codes; all of them stand on your receipt
{%- endif %}
{%- if line.kind == "SEATS" %}
  Each code opens it for one learner.
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
{% if link %}
Sign in once by this link, until {{ link_ends }}. It proves that this address is yours; you can choose a password there:
{{ link }}
{%- else %}
Sign in to go on:
{{ shop.url }}
{%- endif %}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
<p>thank you. Your payment is in, and this is yours now (order <strong>{{ order.number }}</strong>, {{ order.placed }}):</p>
<ul>
{% for line in lines %}<li>{{ line.title }}{% if line.quantity > 1 %} × {{ line.quantity }}{% endif %}: {{ line.total }}
{%- if line.credits %}<br>{{ line.credits }}{% endif %}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}
{%- if line.learner %}<br>for {{ line.learner }}{% endif %}
{%- for code in line.codes %}<br><code>{{ code }}</code>{% endfor %}
{%- if line.more_codes %}<br>and {{ line.more_codes }} more codes; all of them stand on your receipt{% endif %}
{%- if line.kind == "SEATS" %}<br>Each code opens it for one learner.{% endif %}</li>
{% endfor %}</ul>
<p>{% if order.discount %}Discount: {{ order.discount }}<br>{% endif %}{% if order.tax and not order.tax_included %}Tax: {{ order.tax }}<br>{% endif %}<strong>Total: {{ order.total }}</strong>{% if order.tax and order.tax_included %}<br>Tax in it: {{ order.tax }}{% endif %}</p>
{% if link %}<p>The button signs you in once, until {{ link_ends }}. It proves that this address is yours; you can choose a password there.</p>
{{ button(theme, link, "Sign in") }}{% else %}{{ button(theme, shop.url, "Go to your courses") }}{% endif %}
{% endblock %}
