{% macro to_local(instant, time_zone) -%}
    {{ return(adapter.dispatch('to_local')(instant, time_zone)) }}
{%- endmacro %}

{% macro postgres__to_local(instant, time_zone) -%}
    (({{ instant }}) at time zone {{ time_zone }})
{%- endmacro %}
