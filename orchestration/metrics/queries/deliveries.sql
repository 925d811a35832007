-- Zeros for what did not happen yet: a counter that begins at one has not increased.
select
    source,
    outcome,
    count(deliveries.delivery_id) as airworthy_deliveries_total
from (
    select unnest(%(sources)s::text[]) as source
    union
    select source from ops.deliveries
) as sources
cross join (values ('loaded'), ('rejected'), ('duplicate'), ('withdrawn')) as outcomes (outcome)
left join ops.deliveries using (source, outcome)
group by source, outcome
