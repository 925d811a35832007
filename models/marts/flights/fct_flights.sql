with

flights as (
    select *
    from {{ ref('int_flights_timed') }}
    where {{ is_in_run_partitions('flight_date') }}
),

weather as (
    select * from {{ ref('fct_weather_observations') }}
),

identified as (
    select
        *,
        airline_id || '-' || cast(flight_number as {{ dbt.type_string() }})
        || '-' || origin_airport_id
        || '-' || cast(flight_date as {{ dbt.type_string() }})
        || '-' || lpad(
            cast(scheduled_departure_clock as {{ dbt.type_string() }}), 4, '0'
        ) as flight_id,
        {{ dbt.date_trunc('hour', 'scheduled_departure_at') }}
            as departure_hour_at
    from flights
),

joined as (
    select
        -- ids
        identified.flight_id,
        identified.airline_id,
        identified.flight_number,
        identified.aircraft_id,
        identified.origin_airport_id,
        identified.destination_airport_id,
        weather.observation_id as departure_observation_id,

        -- numerics
        identified.distance_miles,
        identified.air_time_minutes,
        identified.departure_delay_minutes,
        identified.arrival_delay_minutes,
        weather.temperature_fahrenheit as departure_temperature_fahrenheit,
        weather.wind_speed_mph as departure_wind_speed_mph,
        weather.precipitation_inches as departure_precipitation_inches,
        weather.visibility_miles as departure_visibility_miles,

        -- booleans
        identified.departure_delay_minutes is null as is_cancelled,
        identified.departure_delay_minutes is not null
        and identified.arrival_delay_minutes is null as is_diverted,
        coalesce(identified.arrival_delay_minutes >= 15, false)
            as is_arrival_late,
        coalesce(identified.departure_delay_minutes >= 15, false)
            as is_departure_late,

        -- dates
        identified.flight_date,

        -- timestamps
        identified.scheduled_departure_at,
        identified.departed_at,
        identified.scheduled_arrival_at,
        identified.arrived_at,

        -- metadata
        identified._delivery_id,
        identified._line
    from identified
    left join weather
        on
            identified.origin_airport_id = weather.airport_id
            and identified.departure_hour_at = weather.observed_at
)

select * from joined
