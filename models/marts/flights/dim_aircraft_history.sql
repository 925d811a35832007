{%- set attributes = [
    'aircraft_type', 'manufacturer_name', 'model_name', 'engine_type',
    'manufacture_year', 'engine_count', 'seat_count', 'cruising_speed_mph',
] | join(', ') -%}

with

aircraft as (
    select * from {{ ref('stg_planes__aircraft') }}
),

lists as (
    select
        listed_date,
        row_number() over (order by listed_date) as list_number,
        lead(listed_date) over (order by listed_date) as next_listed_date
    from (select distinct listed_date from aircraft) as dates
),

-- Constant while an aircraft stays on the list with the same attributes.
islands_found as (
    select
        aircraft.*,
        lists.next_listed_date,
        lists.list_number - row_number() over (
            partition by aircraft.aircraft_id, {{ attributes }}
            order by lists.list_number
        ) as island_number
    from aircraft
    inner join lists
        on aircraft.listed_date = lists.listed_date
),

validity_derived as (
    select
        *,
        min(listed_date) over island as valid_from_date,
        -- The newest list has no next one: what it holds is valid still.
        case
            when count(*) over island = count(next_listed_date) over island
                then max(next_listed_date) over island
        end as valid_to_date
    from islands_found
    window island as (
        partition by aircraft_id, {{ attributes }}, island_number
    )
),

first_listed as (
    select
        -- ids
        aircraft_id,

        -- strings
        aircraft_type,
        manufacturer_name,
        model_name,
        engine_type,

        -- numerics
        manufacture_year,
        engine_count,
        seat_count,
        cruising_speed_mph,

        -- dates
        valid_from_date,
        valid_to_date,

        -- metadata
        _delivery_id,
        _line
    from validity_derived
    where listed_date = valid_from_date
)

select * from first_listed
