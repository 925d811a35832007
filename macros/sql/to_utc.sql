{% macro to_utc(local_timestamp, time_zone) -%}
    {{ return(adapter.dispatch('to_utc')(local_timestamp, time_zone)) }}
{%- endmacro %}

{% macro postgres__to_utc(local_timestamp, time_zone) -%}
    (({{ local_timestamp }}) at time zone {{ time_zone }})
{%- endmacro %}
