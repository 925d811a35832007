with

days as (
    select
        airline_id,
        flight_date
    from {{ ref('agg_airlines_daily') }}
    where {{ is_in_run_partitions('flight_date') }}
),

days_before as (
    select *
    from {{ ref('agg_airlines_daily') }}
    where {{ is_in_run_partitions('flight_date', days_before=28) }}
),

summed as (
    select
        days.airline_id,
        days.flight_date,
        coalesce(sum(days_before.flight_count), 0) as flight_count,
        coalesce(sum(days_before.cancelled_count), 0) as cancelled_count,
        coalesce(sum(days_before.departed_count), 0) as departed_count,
        coalesce(sum(days_before.arrived_count), 0) as arrived_count,
        sum(days_before.arrived_count - days_before.arrival_late_count)
            as on_time_count,
        sum(days_before.departure_delay_minutes_total)
            as departure_delay_minutes_total,
        sum(days_before.arrival_delay_minutes_total)
            as arrival_delay_minutes_total
    from days
    left join days_before
        on
            days.airline_id = days_before.airline_id
            and days_before.flight_date
            between {{ add_days('days.flight_date', -28) }}
            and {{ add_days('days.flight_date', -1) }}
    group by days.airline_id, days.flight_date
),

divided as (
    select
        -- ids
        airline_id,

        -- numerics
        cast(flight_count as bigint) as flight_count,
        {{ divide('cancelled_count', 'flight_count') }} as cancellation_rate,
        {{ divide('on_time_count', 'arrived_count') }} as on_time_rate,
        {{ divide('departure_delay_minutes_total', 'departed_count') }}
            as departure_delay_minutes_mean,
        {{ divide('arrival_delay_minutes_total', 'arrived_count') }}
            as arrival_delay_minutes_mean,

        -- dates
        flight_date
    from summed
)

select * from divided
