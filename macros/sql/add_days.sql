{% macro add_days(day, days) -%}
    {{ return(adapter.dispatch('add_days')(day, days)) }}
{%- endmacro %}

{% macro postgres__add_days(day, days) -%}
    (({{ day }}) + ({{ days }}))
{%- endmacro %}
