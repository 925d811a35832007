{% macro begin_build() %}
    {%- if execute and target.name == 'prod' and flags.WHICH in ('build', 'run', 'seed', 'snapshot', 'test') -%}
        {%- if find_run_id() is none -%}
            {{ exceptions.raise_compiler_error(
                'Target prod builds the candidate of one run of the ledger, and this is no run. '
                ~ 'Use `make plan build`, or target dev for your own schemas.'
            ) }}
        {%- endif -%}
        update ops.runs set build_started_at = coalesce(build_started_at, now())
        where run_id = ops.run_id()
    {%- endif -%}
{% endmacro %}
