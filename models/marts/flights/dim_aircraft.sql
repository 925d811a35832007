with

aircraft as (
    select * from {{ ref('stg_planes__aircraft') }}
),

latest as (
    select max(listed_date) as listed_date
    from aircraft
),

selected as (
    select
        -- ids
        aircraft.aircraft_id,

        -- strings
        aircraft.aircraft_type,
        aircraft.manufacturer_name,
        aircraft.model_name,
        aircraft.engine_type,

        -- numerics
        aircraft.manufacture_year,
        aircraft.engine_count,
        aircraft.seat_count,
        aircraft.cruising_speed_mph,

        -- dates
        aircraft.listed_date,

        -- metadata
        aircraft._delivery_id,
        aircraft._line
    from aircraft
    inner join latest
        on aircraft.listed_date = latest.listed_date
)

select * from selected
