with

flights as (
    select *
    from {{ ref('fct_flights') }}
    where {{ is_in_run_partitions('flight_date') }}
),

aggregated as (
    select
        -- ids
        airline_id,

        -- numerics
        {{ measure_flights() }},

        -- dates
        flight_date
    from flights
    group by airline_id, flight_date
)

select * from aggregated
