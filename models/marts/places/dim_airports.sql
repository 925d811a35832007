with

airports as (
    select * from {{ ref('int_airports_unioned') }}
),

selected as (
    select
        -- ids
        airport_id,

        -- strings
        airport_name,
        time_zone,
        daylight_saving_rule,

        -- numerics
        latitude_degrees,
        longitude_degrees,
        altitude_feet,
        utc_offset_hours,

        -- booleans
        is_in_source_list
    from airports
)

select * from selected
