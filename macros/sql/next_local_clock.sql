{% macro next_local_clock(after, clock, time_zone) -%}
    {#- Midnight that begins the local day of `after`, and the clock's minutes into that day. -#}
    {%- set day -%} cast({{ to_local(after, time_zone) }} as date) {%- endset -%}
    {%- set minutes -%} mod({{ clock_to_minutes(clock) }}, 1440) {%- endset -%}
    {%- set same_day -%} {{ to_utc(add_minutes(day, minutes), time_zone) }} {%- endset -%}
    {%- set next_day -%}
    {{ to_utc(add_minutes(day, minutes ~ ' + 1440'), time_zone) }}
    {%- endset -%}
    case when {{ same_day }} > {{ after }} then {{ same_day }} else {{ next_day }} end
{%- endmacro %}
