-- Observer: reads the ledger and nothing else; the token that lets a run publish is not for it.
do $$
begin
    begin
        create role airworthy_observer nologin;
    exception when duplicate_object or unique_violation then
        null;
    end;
    if not pg_has_role(current_user, 'airworthy_observer', 'member') then
        grant airworthy_observer to current_user;
    end if;
end
$$;

grant usage on schema ops to airworthy_observer;
grant select on all tables in schema ops to airworthy_observer;
revoke select on ops.runs from airworthy_observer;
grant select (
    run_id, kind, runner, requested_by, as_of, code_version, state, planned_at, finished_at,
    build_started_at, backfill_id, covers, completes, taken_back_at
) on ops.runs to airworthy_observer;
-- Functions that views call look a mart up by name.
grant usage on schema published to airworthy_observer;

-- Up to where lineage was told: of deliveries, one number; of runs, each step.
create table ops.lineage_told (
    what text not null check (what in ('deliveries', 'build', 'gate', 'publish')),
    id bigint not null, -- of the run; of deliveries, 0
    until bigint, -- of deliveries: the newest that was told
    told_at timestamptz not null default clock_timestamp(),
    primary key (what, id)
);

-- What happened before there was lineage is not told.
insert into ops.lineage_told (what, id, until)
select 'deliveries', 0, coalesce(max(delivery_id), 0) from ops.deliveries;
insert into ops.lineage_told (what, id)
select what, run_id from ops.runs cross join unnest(array['build', 'gate', 'publish']) as what;

grant select on ops.lineage_told
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher,
airworthy_observer;
grant insert, update, delete on ops.lineage_told to airworthy_auditor;
