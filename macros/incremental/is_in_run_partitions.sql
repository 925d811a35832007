{% macro is_in_run_partitions(column, days_before=0, of=none) -%}
    {#- Literal dates, so that the database plans for exactly these. -#}
    {%- if is_full_in_run() -%} {{ return('true') }} {%- endif -%}
    {%- set ranges = run_query(
        "select first_date, last_date from ops.run_ranges(ops.run_id(), '"
        ~ (of or this.identifier) ~ "', " ~ days_before ~ ")"
    ).rows -%}
    {%- set parts = [] -%}
    {%- if ranges | length <= 20 -%}
        {%- for first, last in ranges -%}
            {#- One date is compared for equality: of a range beyond all that it has counted, the
                database expects no rows. -#}
            {%- do parts.append(
                column ~ (
                    " = date '" ~ first ~ "'" if first == last
                    else " between date '" ~ first ~ "' and date '" ~ last ~ "'"
                )
            ) -%}
        {%- endfor -%}
        {{ return('(' ~ (parts | join(' or ') or 'false') ~ ')') }}
    {%- endif -%}
    {%- for first, last in ranges -%}
        {%- for n in range((last - first).days + 1) -%}
            {%- do parts.append("date '" ~ (first + modules.datetime.timedelta(n)) ~ "'") -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(column ~ ' in (' ~ (parts | join(', ')) ~ ')') }}
{%- endmacro %}
