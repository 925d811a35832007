with

airlines as (
    select * from {{ ref('airlines') }}
),

selected as (
    select
        -- ids
        airline_id,

        -- strings
        airline_name
    from airlines
)

select * from selected
