=== subject
{{ shop.name }}: your access to {{ access.title }} ends on {{ access.day }}
=== text
Hello{% if recipient.name %} {{ recipient.name }}{% endif %},

your access to "{{ access.title }}" ends on {{ access.ends }}. If you buy it again before, the new time begins where the old one ends.
{{ access.url or shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Hello{% if recipient.name %} {{ recipient.name }}{% endif %},</p>
<p>your access to “{{ access.title }}” ends on <strong>{{ access.ends }}</strong>. If you buy it again before, the new time begins where the old one ends.</p>
{% if access.url %}{{ button(theme, access.url, "Buy it again") }}{% else %}{{ button(theme, shop.url, "Go to your courses") }}{% endif %}
{% endblock %}
