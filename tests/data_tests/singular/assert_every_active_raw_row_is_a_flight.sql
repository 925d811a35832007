-- Rows would have been lost or doubled on the way from raw to fct_flights.
with

staged as (
    select
        flight_date,
        count(*) as staged_count
    from {{ ref('stg_flights__flights') }}
    where {{ is_in_run_partitions('flight_date', of='fct_flights') }}
    group by flight_date
),

modelled as (
    select
        flight_date,
        count(*) as modelled_count
    from {{ ref('fct_flights') }}
    where {{ is_in_run_partitions('flight_date', of='fct_flights') }}
    group by flight_date
)

select
    coalesce(staged.flight_date, modelled.flight_date) as flight_date,
    coalesce(staged.staged_count, 0) as staged_count,
    coalesce(modelled.modelled_count, 0) as modelled_count
from staged
full outer join modelled
    on staged.flight_date = modelled.flight_date
where
    coalesce(staged.staged_count, 0) <> coalesce(modelled.modelled_count, 0)
