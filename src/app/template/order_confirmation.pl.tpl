=== subject
{{ shop.name }}: zamówienie {{ order.number }}
=== text
Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!

Dziękujemy za zakupy. Płatność dotarła, dostęp jest już aktywny (zamówienie {{ order.number }}, {{ order.placed }}):
{%- for line in lines %}

- {{ line.title }}{% if line.quantity > 1 %} x {{ line.quantity }}{% endif %}: {{ line.total }}
{%- if line.credits %}
  {{ line.credits }}
{%- endif %}
{%- if line.when %}
  {{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}
{%- endif %}
{%- if line.learner %}
  dla: {{ line.learner }}
{%- endif %}
{%- for code in line.codes %}
  {{ code }}
{%- endfor %}
{%- if line.more_codes %}
  Pozostałe kody ({{ line.more_codes }}) znajdują się na potwierdzeniu zamówienia.
{%- endif %}
{%- if line.kind == "SEATS" %}
  Każdy kod otwiera dostęp jednej osobie.
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
{% if link %}
Zaloguj się tym jednorazowym linkiem (ważny do {{ link_ends }}). Potwierdza on, że to Twój adres; na stronie możesz ustawić hasło:
{{ link }}
{%- else %}
Zaloguj się, aby zacząć naukę:
{{ shop.url }}
{%- endif %}
{%- if theme.footer %}

{{ theme.footer }}
{%- endif %}
=== html
{% extends "layout.html" %}{% from "parts.html" import button %}
{% block body %}
<p>Dzień dobry{% if recipient.name %}, {{ recipient.name }}{% endif %}!</p>
<p>Dziękujemy za zakupy. Płatność dotarła, dostęp jest już aktywny (zamówienie <strong>{{ order.number }}</strong>, {{ order.placed }}):</p>
<ul>
{% for line in lines %}<li>{{ line.title }}{% if line.quantity > 1 %} × {{ line.quantity }}{% endif %}: {{ line.total }}
{%- if line.credits %}<br>{{ line.credits }}{% endif %}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}
{%- if line.learner %}<br>dla: {{ line.learner }}{% endif %}
{%- for code in line.codes %}<br><code>{{ code }}</code>{% endfor %}
{%- if line.more_codes %}<br>Pozostałe kody ({{ line.more_codes }}) znajdują się na potwierdzeniu zamówienia.{% endif %}
{%- if line.kind == "SEATS" %}<br>Każdy kod otwiera dostęp jednej osobie.{% endif %}</li>
{% endfor %}</ul>
<p>{% if order.discount %}Rabat: {{ order.discount }}<br>{% endif %}{% if order.tax and not order.tax_included %}Podatek: {{ order.tax }}<br>{% endif %}<strong>Razem: {{ order.total }}</strong>{% if order.tax and order.tax_included %}<br>W tym podatek: {{ order.tax }}{% endif %}</p>
{% if link %}<p>Przycisk zaloguje Cię jednorazowo, do {{ link_ends }}. Potwierdza on, że to Twój adres; na stronie możesz ustawić hasło.</p>
{{ button(theme, link, "Zaloguj się") }}{% else %}{{ button(theme, shop.url, "Przejdź do kursów") }}{% endif %}
{% endblock %}
