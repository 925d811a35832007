{% macro get_where_subquery(relation) -%}
    {#- What a generic test reads: of a partitioned model only what this run rebuilt. -#}
    {%- set conditions = ['(' ~ config.get('where') ~ ')'] if config.get('where') else [] -%}
    {%- set tested = graph.nodes.get(model.attached_node) if execute else none -%}
    {%- if tested and tested.config.meta.get('partition_column') -%}
        {%- set rebuilt = is_in_run_partitions(
            adapter.quote(tested.config.meta.partition_column), of=tested.alias
        ) -%}
        {%- do conditions.append(rebuilt) if rebuilt != 'true' -%}
    {%- endif -%}
    {%- if not conditions -%} {{ return(relation) }} {%- endif -%}
    {{ return(
        '(select * from ' ~ relation ~ ' where ' ~ (conditions | join(' and ')) ~ ') as tested'
    ) }}
{%- endmacro %}
