{% macro compute_once(alias, name, expression) -%}
    {{ return(adapter.dispatch('compute_once')(alias, name, expression)) }}
{%- endmacro %}

{% macro postgres__compute_once(alias, name, expression) -%}
    {#- Without a limit PostgreSQL copies the expression to each place that reads it. -#}
    cross join lateral (
        select {{ expression }} as {{ name }} limit 1
    ) as {{ alias }}
{%- endmacro %}
