{% macro is_in_run_partitions(column) -%}
    {%- if target.name == 'prod' -%}
        {{ column }} in (
            select run_partitions.partition_date
            from ops.run_partitions
            where
                run_partitions.run_id = ops.run_id()
                and run_partitions.model = '{{ this.identifier }}'
        )
    {%- else -%} true
    {%- endif -%}
{%- endmacro %}
