with

flights as (
    select
        *,
        {{ truncate_to_month('flight_date') }} as flight_month
    from {{ ref('fct_flights') }}
    where {{ is_in_run_partitions('flight_date') }}
),

aggregated as (
    select
        -- ids
        origin_airport_id,
        destination_airport_id,

        -- numerics
        {{ measure_flights() }},

        -- dates
        flight_month
    from flights
    group by origin_airport_id, destination_airport_id, flight_month
)

select * from aggregated
