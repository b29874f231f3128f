=== subject
Płatność nie powiodła się
=== text
{{ decline.text }}
=== html
<p>{{ decline.text }}</p>
<p>Za zamówienie <strong>{{ order.number }}</strong> na kwotę {{ order.total }} nic nie pobrano.{% if decline.until %} Zamówienie czeka do {{ decline.until }}.{% endif %}</p>
