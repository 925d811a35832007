-- Clock and delay of a flight would name two different minutes.
-- Tolerated: 1 row. 2026-11-23, flight-analytics: B6 35 from JFK to PBI on
-- 9 March 2013 landed in the hour that daylight saving skips; its source clock
-- (2:03) was not put forward, its delay was.
{{ config(warn_if='>1', error_if='>1') }}

with

local_clocks as (
    select
        airline_id,
        flight_number,
        flight_date,
        departure_clock,
        arrival_clock,
        {{ to_local('departed_at', 'origin_time_zone') }} as departed_local,
        {{ to_local('arrived_at', 'destination_time_zone') }} as arrived_local
    from {{ ref('int_flights_timed') }}
    where {{ is_in_run_partitions('flight_date', of='int_flights_timed') }}
)

select *
from local_clocks
where
    mod({{ clock_to_minutes('departure_clock') }}, 1440)
    <> extract(hour from departed_local) * 60
    + extract(minute from departed_local)
    or mod({{ clock_to_minutes('arrival_clock') }}, 1440)
    <> extract(hour from arrived_local) * 60
    + extract(minute from arrived_local)
