{% macro truncate_to_month(day) -%}
    cast({{ dbt.date_trunc('month', day) }} as date)
{%- endmacro %}
