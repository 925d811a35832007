select
    (select count(*) from ops.publications) as airworthy_publications_total,
    (select extract(epoch from max(published_at)) from ops.publications)
        as airworthy_publication_timestamp_seconds,
    (select count(*) from ops.holds where lifted_at is null) as airworthy_publishing_held,
    -- A run that passed may wait for somebody to lift a hold.
    coalesce(
        (
            select extract(epoch from now() - planned_at) from ops.runs
            where
                run_id = (select max(run_id) from ops.runs)
                and (
                    state in ('planned', 'built')
                    or state = 'passed'
                    and not exists (select from ops.holds where lifted_at is null)
                )
        ), 0
    ) as airworthy_run_active_seconds,
    coalesce(
        (
            select case when passed then 0 else 1 end from ops.verdicts order by run_id desc limit 1
        ), 0
    ) as airworthy_gate_blocked
