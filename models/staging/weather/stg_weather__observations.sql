with

source as (
    select *
    from {{ source('weather', 'weather') }}
    where {{ is_active_delivery('weather') }}
),

renamed as (
    select
        -- ids
        source.origin as airport_id,

        -- numerics; conversions left noise behind the fifth decimal
        source.temp as temperature_fahrenheit,
        source.dewp as dew_point_fahrenheit,
        source.humid as relative_humidity_pct,
        source.wind_dir as wind_direction_degrees,
        round(source.wind_speed, 5) as wind_speed_mph,
        round(source.wind_gust, 5) as wind_gust_mph,
        source.precip as precipitation_inches,
        source.pressure as pressure_hectopascal,
        source.visib as visibility_miles,

        -- dates
        source._slice_date as observation_date,

        -- timestamps
        source.time_hour as observed_at,

        -- metadata
        source._delivery_id,
        source._line
    from source
)

select * from renamed
