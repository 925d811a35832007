{% macro is_full_in_run() -%}
    {#- Outside target prod there is no run: everything is built from all there is. -#}
    {%- if not execute or target.name != 'prod' -%} {{ return(true) }} {%- endif -%}
    {%- set found = run_query(
        "select is_full from ops.run_nodes where run_id = ops.run_id() and unique_id = '"
        ~ model.unique_id ~ "'"
    ) -%}
    {{ return(found.rows | length == 0 or found.rows[0][0]) }}
{%- endmacro %}
