with

flights as (
    select * from {{ ref('stg_flights__flights') }}
),

airports as (
    select * from {{ ref('int_airports_unioned') }}
),

located as (
    select
        flights.*,
        origins.time_zone as origin_time_zone,
        destinations.time_zone as destination_time_zone
    from flights
    left join airports as origins
        on flights.origin_airport_id = origins.airport_id
    left join airports as destinations
        on flights.destination_airport_id = destinations.airport_id
),

departures_scheduled as (
    select
        located.*,
        departures.scheduled_departure_at
    from located
    {{ compute_once('departures', 'scheduled_departure_at', to_utc(
        add_minutes(
            'located.flight_date',
            clock_to_minutes('located.scheduled_departure_clock')
        ),
        'located.origin_time_zone'
    )) }}
),

arrivals_scheduled as (
    select
        departures_scheduled.*,
        arrivals.scheduled_arrival_at
    from departures_scheduled
    {{ compute_once('arrivals', 'scheduled_arrival_at', next_local_clock(
        'departures_scheduled.scheduled_departure_at',
        'departures_scheduled.scheduled_arrival_clock',
        'departures_scheduled.destination_time_zone'
    )) }}
),

-- Delays are the truth: the clocks follow from them, but for one hour a year.
departures_timed as (
    select
        *,
        {{ add_minutes('scheduled_departure_at', 'departure_delay_minutes') }}
            as departed_at
    from arrivals_scheduled
),

-- A diverted flight has no arrival delay; where it did arrive, the clock says.
arrivals_timed as (
    select
        *,
        case
            when arrival_delay_minutes is not null
                then {{ add_minutes(
                    'scheduled_arrival_at', 'arrival_delay_minutes'
                ) }}
            when arrival_clock is not null
                then {{ next_local_clock(
                    'departed_at', 'arrival_clock', 'destination_time_zone'
                ) }}
        end as arrived_at
    from departures_timed
)

select * from arrivals_timed
