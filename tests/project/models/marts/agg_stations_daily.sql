with

readings as (
    select *
    from {{ ref('fct_readings') }}
    where {{ is_in_run_partitions('reading_date') }}
),

aggregated as (
    select
        station_id,
        count(*) as reading_count,
        sum(rain_millimetres) as rain_millimetres,
        reading_date
    from readings
    group by station_id, reading_date
)

select * from aggregated
