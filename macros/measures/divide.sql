{% macro divide(amount, base) -%}
    round(cast({{ amount }} as {{ dbt.type_numeric() }}) / nullif({{ base }}, 0), 6)
{%- endmacro %}
