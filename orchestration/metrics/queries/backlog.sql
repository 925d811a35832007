-- What a backfill published over the base counts as published for the dates that it covers.
with latest as (
    select as_of, layers from ops.publications order by publication_id desc limit 1
),

waiting as (
    select active.source, deliveries.rows_loaded, deliveries.recorded_at
    from ops.active_deliveries as active
    inner join ops.deliveries using (delivery_id)
    left join latest on true
    where
        active.delivery_id > coalesce(latest.as_of, 0)
        and not exists (
            select from ops.runs
            where
                runs.run_id = any(latest.layers)
                and active.delivery_id <= runs.as_of
                and active.slice_date <@ runs.covers
        )
),

sources as (select distinct source from ops.deliveries where outcome = 'loaded')

select
    source,
    count(waiting.source) as airworthy_backlog_deliveries,
    coalesce(sum(waiting.rows_loaded), 0) as airworthy_backlog_rows,
    coalesce(extract(epoch from now() - min(waiting.recorded_at)), 0)
        as airworthy_backlog_oldest_seconds
from sources left join waiting using (source)
group by source
