{% macro get_incremental_replace_partitions_sql(arg_dict) -%}
    {%- set column = config.get('meta', {}).get('partition_column') -%}
    {%- if not column -%}
        {{ exceptions.raise_compiler_error(
            'Strategy replace_partitions: ' ~ this.identifier ~ ' names no meta.partition_column'
        ) }}
    {%- endif -%}
    {%- set rebuilt = is_in_run_partitions(adapter.quote(column)) -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {% if rebuilt != 'true' -%}
        select ops.require_within(
            '{{ arg_dict["temp_relation"] }}', '{{ this.identifier }}', '{{ column }}', ops.run_id()
        );
    {%- endif %}

    delete from {{ arg_dict['target_relation'] }}
    where {{ rebuilt }};

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }}
    from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
