with

days as (
    select
        station_id,
        reading_date
    from {{ ref('agg_stations_daily') }}
    where {{ is_in_run_partitions('reading_date') }}
),

days_before as (
    select *
    from {{ ref('agg_stations_daily') }}
    where {{ is_in_run_partitions('reading_date', days_before=28) }}
),

summed as (
    select
        days.station_id,
        days.reading_date,
        coalesce(sum(days_before.reading_count), 0) as reading_count,
        sum(days_before.rain_millimetres) as rain_millimetres
    from days
    left join days_before
        on
            days.station_id = days_before.station_id
            and days_before.reading_date
            between {{ add_days('days.reading_date', -28) }}
            and {{ add_days('days.reading_date', -1) }}
    group by days.station_id, days.reading_date
),

divided as (
    select
        station_id,
        cast(reading_count as bigint) as reading_count,
        {{ divide('rain_millimetres', 'reading_count') }}
            as rain_millimetres_mean,
        reading_date
    from summed
)

select * from divided
