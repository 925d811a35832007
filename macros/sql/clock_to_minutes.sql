{% macro clock_to_minutes(clock) -%}
    (
        cast(floor(({{ clock }}) / 100.0) as integer) * 60
        + cast(mod(({{ clock }}), 100) as integer)
    )
{%- endmacro %}
