=== subject
{% if company %}{{ company }} zaprasza do {{ shop.name }}{% else %}{{ shop.name }}: link do logowania{% endif %}
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!
{% if lines %}
Ktoś kupił to dla Ciebie:
{%- for line in lines %}
- {{ line.title }}
{%- if line.when %}
  {{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}
{%- endif %}
{%- endfor %}
{% elif company %}
{{ company }} dodaje Cię do swojego zespołu w {{ shop.name }}.
{% endif %}
Tym linkiem zalogujesz się jeden raz, do {{ link_ends }}. Potwierdza on, że to Twój adres; na stronie możesz ustawić hasło:
{{ link }}

Jeśli ta wiadomość Cię zaskoczyła, po prostu ją pomiń: bez linku nic się nie stanie.
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
{% if lines %}<p>Ktoś kupił to dla Ciebie:</p>
<ul>
{% for line in lines %}<li>{{ line.title }}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}</li>
{% endfor %}</ul>
{% elif company %}<p>{{ company }} dodaje Cię do swojego zespołu w {{ shop.name }}.</p>
{% endif %}<p>Przycisk zaloguje Cię jednorazowo, do {{ link_ends }}. Potwierdza on, że to Twój adres; na stronie możesz ustawić hasło.</p>
{{ button(theme, link, "Zaloguj się") }}
<p>Jeśli ta wiadomość Cię zaskoczyła, po prostu ją pomiń: bez linku nic się nie stanie.</p>
{% endblock %}
