{% macro record_build_results(results) %}
    {%- if execute and target.name == 'prod' and results and find_run_id() -%}
        insert into ops.build_results
            (run_id, unique_id, status, rows_affected, failures, seconds, message)
        values
        {%- for result in results %}
        (
            ops.run_id(),
            {{ dbt.string_literal(dbt.escape_single_quotes(result.node.unique_id)) }},
            {{ dbt.string_literal(result.status | string) }},
            {{ (result.adapter_response or {}).get('rows_affected', 'null') }},
            {{ result.failures if result.failures is not none else 'null' }},
            {{ result.execution_time | round(3) }},
            {{ dbt.string_literal(
                dbt.escape_single_quotes((result.message or '') | string | truncate(2000))
            ) }}
        ){{ ',' if not loop.last }}
        {%- endfor %}
        on conflict (run_id, unique_id) do update set
            status = excluded.status,
            rows_affected = excluded.rows_affected,
            failures = excluded.failures,
            seconds = excluded.seconds,
            message = excluded.message,
            recorded_at = now()
    {%- endif -%}
{% endmacro %}
