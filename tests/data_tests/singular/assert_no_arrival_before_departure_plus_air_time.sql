-- An aircraft would have arrived before it left, or sooner than its time in
-- the air allows.
select
    flight_id,
    departed_at,
    arrived_at,
    air_time_minutes
from {{ ref('fct_flights') }}
where
    {{ is_in_run_partitions('flight_date', of='fct_flights') }}
    and arrived_at
    < {{ add_minutes('departed_at', 'coalesce(air_time_minutes, 0)') }}
