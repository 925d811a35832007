{% macro add_minutes(moment, minutes) -%}
    {{ return(adapter.dispatch('add_minutes')(moment, minutes)) }}
{%- endmacro %}

{% macro postgres__add_minutes(moment, minutes) -%}
    (({{ moment }}) + ({{ minutes }}) * interval '1 minute')
{%- endmacro %}
