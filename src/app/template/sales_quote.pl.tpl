=== subject
{{ shop.name }}: oferta {{ quote.number }}{% if company %} dla {{ company }}{% endif %}
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!

Oto nasza oferta {{ quote.number }}{% if quote.po_number %} (Państwa numer: {{ quote.po_number }}){% endif %}:

{% for line in quote.lines %}- {{ line.quantity }} × {{ line.title }}{% if line.each %} po {{ line.each }}{% endif %}: {{ line.total }}
{% endfor %}
Razem: {{ quote.total }}
{%- if quote.terms %}

{{ quote.terms }}
{%- endif %}
{%- if quote.until %}

Ofertę można przyjąć do {{ quote.until }}.
{%- endif %}

{{ shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
<p>Oto nasza oferta {{ quote.number }}{% if quote.po_number %} (Państwa numer: {{ quote.po_number }}){% endif %}:</p>
<ul>{% for line in quote.lines %}<li>{{ line.quantity }} × {{ line.title }}{% if line.each %} po {{ line.each }}{% endif %}: {{ line.total }}</li>{% endfor %}</ul>
<p><strong>Razem: {{ quote.total }}</strong></p>
{% if quote.terms %}<p>{{ quote.terms }}</p>{% endif %}
{% if quote.until %}<p>Ofertę można przyjąć do {{ quote.until }}.</p>{% endif %}
{{ button(theme, shop.url, "Zaloguj się") }}
{% endblock %}
