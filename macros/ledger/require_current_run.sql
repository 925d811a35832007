{% macro require_current_run() -%}
    {%- if execute and target.name == 'prod' -%} select ops.require_current_run() {%- endif -%}
{%- endmacro %}
