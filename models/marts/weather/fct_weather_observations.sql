with

observations as (
    select *
    from {{ ref('stg_weather__observations') }}
    where {{ is_in_run_partitions('observation_date') }}
),

identified as (
    select
        -- ids
        airport_id || '-' || {{ format_utc_hour('observed_at') }}
            as observation_id,
        airport_id,

        -- numerics
        temperature_fahrenheit,
        dew_point_fahrenheit,
        relative_humidity_pct,
        wind_direction_degrees,
        wind_speed_mph,
        wind_gust_mph,
        precipitation_inches,
        pressure_hectopascal,
        visibility_miles,

        -- dates
        observation_date,

        -- timestamps
        observed_at,

        -- metadata
        _delivery_id,
        _line
    from observations
)

select * from identified
