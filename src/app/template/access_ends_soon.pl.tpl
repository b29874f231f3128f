=== subject
{{ shop.name }}: dostęp do „{{ access.title }}” kończy się {{ access.day }}
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!

Twój dostęp do „{{ access.title }}” kończy się {{ access.ends }}. Jeśli kupisz go ponownie wcześniej, nowy okres zacznie się po zakończeniu obecnego.
{{ access.url or shop.url }}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
<p>Twój dostęp do „{{ access.title }}” kończy się <strong>{{ access.ends }}</strong>. Jeśli kupisz go ponownie wcześniej, nowy okres zacznie się po zakończeniu obecnego.</p>
{% if access.url %}{{ button(theme, access.url, "Kup ponownie") }}{% else %}{{ button(theme, shop.url, "Przejdź do kursów") }}{% endif %}
{% endblock %}
