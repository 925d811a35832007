{% macro should_full_refresh() -%}
    {{ return(is_full_in_run() if target.name == 'prod' else dbt.should_full_refresh()) }}
{%- endmacro %}
