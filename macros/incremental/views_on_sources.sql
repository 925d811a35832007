{% macro views_on_sources() -%}
    {#- The views that read a source and that the model reads, directly or through other views. -#}
    {%- set waiting = model.depends_on.nodes | list -%}
    {%- set found = [] -%}
    {%- for _ in range(graph.nodes | length) if waiting -%}
        {%- set node = graph.nodes.get(waiting.pop()) -%}
        {%- if node and node.resource_type == 'model'
            and node.config.materialized in ('view', 'ephemeral') -%}
            {%- for parent in node.depends_on.nodes -%}
                {%- if parent.startswith('source.') and node.config.materialized == 'view'
                    and node.relation_name not in found -%}
                    {%- do found.append(node.relation_name) -%}
                {%- elif not parent.startswith('source.') -%}
                    {%- do waiting.append(parent) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
