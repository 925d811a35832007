with

source as (
    select *
    from {{ source('planes', 'planes') }}
    where {{ is_active_delivery('planes') }}
),

renamed as (
    select
        -- ids
        source.tailnum as aircraft_id,

        -- strings
        source.type as aircraft_type,
        source.manufacturer as manufacturer_name,
        source.model as model_name,
        source.engine as engine_type,

        -- numerics
        source.year as manufacture_year,
        source.engines as engine_count,
        source.seats as seat_count,
        source.speed as cruising_speed_mph,

        -- dates
        source._slice_date as listed_date,

        -- metadata
        source._delivery_id,
        source._line
    from source
)

select * from renamed
