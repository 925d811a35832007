with

observations as (
    select *
    from {{ ref('fct_weather_observations') }}
    where {{ is_in_run_partitions('observation_date') }}
),

aggregated as (
    select
        airport_id,
        count(*) as observation_count,
        sum(precipitation_inches) as precipitation_inches,
        observation_date
    from observations
    group by airport_id, observation_date
)

select * from aggregated
