{% macro next_local_clock(after, clock, time_zone) -%}
    {{ return(adapter.dispatch('next_local_clock')(after, clock, time_zone)) }}
{%- endmacro %}

{% macro postgres__next_local_clock(after, clock, time_zone) -%}
    {%- set minutes -%} mod({{ clock_to_minutes(clock) }}, 1440) {%- endset -%}
    (
        select
            case
                when local_days.instant > {{ after }} then local_days.instant
                else {{ to_utc(
                    add_minutes('local_days.day', minutes ~ ' + 1440'), time_zone
                ) }}
            end
        from (
            select
                days.day,
                {{ to_utc(add_minutes('days.day', minutes), time_zone) }} as instant
            from (
                -- The local day of `after`; limit 1: computed once.
                select cast({{ to_local(after, time_zone) }} as date) as day limit 1
            ) as days
            limit 1
        ) as local_days
    )
{%- endmacro %}
