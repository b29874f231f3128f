=== subject
{{ shop.name }}: quote {{ quote.number }} for {{ company or "your company" }}
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},

here is our quote {{ quote.number }}{% if quote.po_number %} (your number: {{ quote.po_number }}){% endif %}:

{% for line in quote.lines %}- {{ line.quantity }} × {{ line.title }}{% if line.each %} at {{ line.each }}{% endif %}: {{ line.total }}
{% endfor %}
Total: {{ quote.total }}
{%- if quote.terms %}

{{ quote.terms }}
{%- endif %}
{%- if quote.until %}

You can accept it until {{ quote.until }}.
{%- endif %}

{{ shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
<p>here is our quote {{ quote.number }}{% if quote.po_number %} (your number: {{ quote.po_number }}){% endif %}:</p>
<ul>{% for line in quote.lines %}<li>{{ line.quantity }} × {{ line.title }}{% if line.each %} at {{ line.each }}{% endif %}: {{ line.total }}</li>{% endfor %}</ul>
<p><strong>Total: {{ quote.total }}</strong></p>
{% if quote.terms %}<p>{{ quote.terms }}</p>{% endif %}
{% if quote.until %}<p>You can accept it until {{ quote.until }}.</p>{% endif %}
{{ button(theme, shop.url, "Sign in") }}
{% endblock %}
