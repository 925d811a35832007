with

readings as (
    select *
    from {{ ref('stg_readings__readings') }}
    where {{ is_in_run_partitions('reading_date') }}
),

identified as (
    select
        station_id || '-' || {{ format_utc_hour('read_at') }} as reading_id,
        station_id,
        observer,
        temperature_degrees,
        rain_millimetres,
        rain_millimetres >= 10 as is_wet,
        reading_date,
        read_at,
        _delivery_id,
        _line
    from readings
)

select * from identified
