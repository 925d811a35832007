-- Choose the airline
with airlines as (
    select
        dim_airlines.airline_name,
        sum(agg.arrival_late_count) / sum(agg.arrived_count) as late_share
    from published.agg_airlines_daily as agg
    inner join published.dim_airlines on agg.airline_id = dim_airlines.airline_id
    group by 1
    having sum(agg.flight_count) >= 1000
)
select format(
    '%s lands late most rarely (%s %%), %s most often (%s %%).',
    best.airline_name, round(100 * best.late_share),
    worst.airline_name, round(100 * worst.late_share)
)
from (select * from airlines order by late_share limit 1) as best,
    (select * from airlines order by late_share desc limit 1) as worst
