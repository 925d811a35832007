with

airports as (
    select * from {{ ref('airports') }}
),

airports_added as (
    select * from {{ ref('airports_added') }}
),

unioned as (
    select
        *,
        true as is_in_source_list
    from airports
    union all
    select
        *,
        false as is_in_source_list
    from airports_added
)

select * from unioned
