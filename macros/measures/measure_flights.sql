{% macro measure_flights() -%}
    count(*) as flight_count,
    count(case when is_cancelled then 1 end) as cancelled_count,
    count(case when is_diverted then 1 end) as diverted_count,
    count(departure_delay_minutes) as departed_count,
    count(case when is_departure_late then 1 end) as departure_late_count,
    count(arrival_delay_minutes) as arrived_count,
    count(case when is_arrival_late then 1 end) as arrival_late_count,
    cast(sum(departure_delay_minutes) as bigint)
        as departure_delay_minutes_total,
    cast(sum(arrival_delay_minutes) as bigint) as arrival_delay_minutes_total,
    cast(sum(distance_miles) as bigint) as distance_miles_total
{%- endmacro %}
