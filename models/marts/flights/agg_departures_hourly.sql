with

flights as (
    select
        *,
        {{ dbt.date_trunc('hour', 'scheduled_departure_at') }}
            as departure_hour_at
    from {{ ref('fct_flights') }}
    where {{ is_in_run_partitions('flight_date') }}
),

weather as (
    select * from {{ ref('fct_weather_observations') }}
),

aggregated as (
    select
        origin_airport_id,
        departure_observation_id,
        {{ measure_flights() }},
        flight_date,
        departure_hour_at
    from flights
    group by
        origin_airport_id,
        departure_observation_id,
        flight_date,
        departure_hour_at
),

joined as (
    select
        -- ids
        aggregated.origin_airport_id,
        aggregated.departure_observation_id,

        -- numerics
        aggregated.flight_count,
        aggregated.cancelled_count,
        aggregated.diverted_count,
        aggregated.departed_count,
        aggregated.departure_late_count,
        aggregated.arrived_count,
        aggregated.arrival_late_count,
        aggregated.departure_delay_minutes_total,
        aggregated.arrival_delay_minutes_total,
        aggregated.distance_miles_total,
        weather.temperature_fahrenheit,
        weather.relative_humidity_pct,
        weather.wind_speed_mph,
        weather.wind_gust_mph,
        weather.precipitation_inches,
        weather.pressure_hectopascal,
        weather.visibility_miles,

        -- dates
        aggregated.flight_date,

        -- timestamps
        aggregated.departure_hour_at
    from aggregated
    left join weather
        on aggregated.departure_observation_id = weather.observation_id
)

select * from joined
