{% macro analyze_if_changed() -%}
    {#- What a run built is counted before something reads it. -#}
    {%- if execute and target.name == 'prod' and model.config.materialized in ('table', 'incremental') -%}
        select ops.analyze_if_changed('{{ this }}')
    {%- endif -%}
{%- endmacro %}
