with

source as (
    select *
    from {{ source('flights', 'flights') }}
    where {{ is_active_delivery('flights') }}
),

renamed as (
    select
        -- ids
        source.carrier as airline_id,
        source.flight as flight_number,
        source.tailnum as aircraft_id,
        source.origin as origin_airport_id,
        source.dest as destination_airport_id,

        -- numerics
        source.distance as distance_miles,
        source.air_time as air_time_minutes,
        source.dep_delay as departure_delay_minutes,
        source.arr_delay as arrival_delay_minutes,
        source.sched_dep_time as scheduled_departure_clock,
        source.dep_time as departure_clock,
        source.sched_arr_time as scheduled_arrival_clock,
        source.arr_time as arrival_clock,

        -- dates
        source._slice_date as flight_date,

        -- timestamps
        source.time_hour as scheduled_departure_hour_at,

        -- metadata
        source._delivery_id,
        source._line
    from source
)

select * from renamed
