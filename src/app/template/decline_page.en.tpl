=== subject
The payment did not go through
=== text
{{ decline.text }}
=== html
<p>{{ decline.text }}</p>
<p>Nothing was charged for order <strong>{{ order.number }}</strong> over {{ order.total }}.{% if decline.until %} It is kept until {{ decline.until }}.{% endif %}</p>
