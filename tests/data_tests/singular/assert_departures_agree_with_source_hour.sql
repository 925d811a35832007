-- Our reading of the origin's clocks and the provider's own hour in UTC would
-- be two different hours.
select
    airline_id,
    flight_number,
    flight_date,
    scheduled_departure_at,
    scheduled_departure_hour_at
from {{ ref('int_flights_timed') }}
where
    {{ is_in_run_partitions('flight_date', of='int_flights_timed') }}
    and {{ dbt.date_trunc('hour', 'scheduled_departure_at') }}
    <> scheduled_departure_hour_at
