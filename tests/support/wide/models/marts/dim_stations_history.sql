with

stations as (
    select * from {{ ref('stg_stations__stations') }}
),

lists as (
    select
        listed_date,
        row_number() over (order by listed_date) as list_number,
        lead(listed_date) over (order by listed_date) as next_listed_date
    from (select distinct listed_date from stations) as dates
),

-- Constant while a station stays on the list with the same name and region.
islands_found as (
    select
        stations.*,
        lists.next_listed_date,
        lists.list_number - row_number() over (
            partition by station_id, station_name, region_id
            order by lists.list_number
        ) as island_number
    from stations
    inner join lists
        on stations.listed_date = lists.listed_date
),

periods as (
    select
        station_id,
        station_name,
        region_id,
        min(listed_date) as valid_from_date,
        case
            when count(*) = count(next_listed_date) then max(next_listed_date)
        end as valid_to_date
    from islands_found
    group by station_id, station_name, region_id, island_number
)

select * from periods
