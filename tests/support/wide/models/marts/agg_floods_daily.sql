with

days as (
    select *
    from {{ ref('agg_stations_daily') }}
    where {{ is_in_run_partitions('reading_date') }}
),

levels as (
    select * from {{ ref('stg_gauges__levels') }}
),

stations as (
    select * from {{ ref('dim_stations') }}
),

joined as (
    select
        days.station_id,
        stations.region_name,
        days.rain_millimetres,
        levels.level_centimetres,
        days.reading_date
    from days
    inner join stations
        on days.station_id = stations.station_id
    left join levels
        on
            days.station_id = levels.station_id
            and days.reading_date = levels.gauge_date
)

select * from joined
