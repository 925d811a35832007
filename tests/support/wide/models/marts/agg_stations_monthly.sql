with

readings as (
    select
        *,
        {{ truncate_to_month('reading_date') }} as reading_month
    from {{ ref('fct_readings') }}
    where {{ is_in_run_partitions('reading_date') }}
),

aggregated as (
    select
        station_id,
        count(*) as reading_count,
        sum(case when is_wet then 1 else 0 end) as wet_count,
        sum(rain_millimetres) as rain_millimetres,
        reading_month
    from readings
    group by station_id, reading_month
)

select * from aggregated
