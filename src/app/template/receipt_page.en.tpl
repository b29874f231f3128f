=== subject
Thank you for order {{ order.number }}
=== text
{{ receipt }}
=== html
{% from "parts.html" import button %}
<p>{{ receipt }}</p>
{% if link %}{{ button(theme, link, "Sign in") }}
{% endif %}<ul>
{% for line in lines %}<li><strong>{{ line.title }}</strong>{% if line.quantity > 1 %} × {{ line.quantity }}{% endif %}: {{ line.total }}{% if line.credits %}<br>{{ line.credits }}{% endif %}
{%- if line.when %}<br>{{ line.when }}{% if line.place %}, {{ line.place }}{% endif %}{% endif %}<br>{{ line.text }}
{%- if line.courses %}<ul>{% for course in line.courses %}<li>{{ course }}</li>{% endfor %}</ul>{% endif %}
{%- if line.codes %}<ul>{% for code in line.codes %}<li><code>{{ code }}</code></li>{% endfor %}</ul>{% endif %}</li>
{% endfor %}</ul>
<p><strong>Total: {{ order.total }}</strong></p>
