-- Leave early
with hours as (
    select
        extract(hour from scheduled_departure_at at time zone 'America/New_York') as hour,
        avg(is_departure_late::int) filter (where not is_cancelled) as late_share
    from published.fct_flights
    group by 1
    having count(*) > 1000
)
select format(
    'Of flights scheduled at %s:00, %s %% leave 15 minutes late or more; at %s:00 it is %s %%.',
    best.hour, round(100 * best.late_share), worst.hour, round(100 * worst.late_share)
)
from (select * from hours order by late_share limit 1) as best,
    (select * from hours order by late_share desc limit 1) as worst
