with

stations as (
    select * from {{ ref('stg_stations__stations') }}
),

regions as (
    select * from {{ ref('regions') }}
),

latest as (
    select max(listed_date) as listed_date
    from stations
),

named as (
    select
        stations.station_id,
        stations.station_name,
        regions.region_name
    from stations
    inner join latest
        on stations.listed_date = latest.listed_date
    left join regions
        on stations.region_id = regions.region_id
)

select * from named
