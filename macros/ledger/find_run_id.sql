{% macro find_run_id() -%}
    {{ return(run_query('select ops.run_id()').columns[0].values()[0]) }}
{%- endmacro %}
