{% macro require_delivered_dates(built=none) -%}
    {#- Of a partitioned model: before, what it reads of sources through views; after, its own rows,
        where all of them are new. Else `require_within` has looked at the new ones. -#}
    {%- set meta = model.config.get('meta', {}) -%}
    {%- if execute and target.name == 'prod' and meta.get('partition_column')
        and model.config.materialized == 'incremental' -%}
        {%- set new = [built] if is_full_in_run() else [] -%}
        {%- set relations = new if built else views_on_sources() -%}
        {%- for relation in relations %}
        select ops.require_delivered_dates(
            '{{ relation }}', '{{ this.identifier }}', '{{ meta.partition_column }}',
            '{{ meta.get("partition_grain", "day") }}', {{ meta.get('days_after', 0) }}, ops.run_id()
        );
        {%- endfor %}
    {%- endif -%}
{%- endmacro %}
