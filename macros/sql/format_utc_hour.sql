{% macro format_utc_hour(instant) -%}
    {{ return(adapter.dispatch('format_utc_hour')(instant)) }}
{%- endmacro %}

{% macro postgres__format_utc_hour(instant) -%}
    to_char(({{ instant }}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24"Z"')
{%- endmacro %}
