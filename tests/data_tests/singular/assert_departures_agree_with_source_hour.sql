-- Our reading of the origin's clocks and the provider's own hour in UTC would
-- be two different hours.
select
    flights.airline_id,
    flights.flight_number,
    flights.flight_date,
    flights.scheduled_departure_at,
    flights.scheduled_departure_hour_at
from {{ ref('int_flights_timed') }} as flights
where
    {{ is_in_run_partitions('flights.flight_date', of='int_flights_timed') }}
    and {{ dbt.date_trunc('hour', 'flights.scheduled_departure_at') }}
    <> flights.scheduled_departure_hour_at
