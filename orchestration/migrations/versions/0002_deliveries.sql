alter table ops.deliveries
    add column slice_hour smallint not null default 0,
    add column slice_days integer not null default 1, -- 0: a full snapshot, which reaches every date
    add column added_columns text[] not null default '{}',
    add column warnings jsonb not null default '{}', -- rows per rule that only warns
    add column replay_of bigint references ops.deliveries,
    add column withdraws bigint references ops.deliveries,
    drop constraint deliveries_outcome_check,
    add check (outcome in ('loaded', 'rejected', 'duplicate', 'withdrawn')),
    add check ((outcome = 'withdrawn') = (withdraws is not null));

-- A replay loads the same bytes again, on request, in place of the delivery it replays.
drop index ops.deliveries_loaded_once;
create unique index deliveries_loaded_once on ops.deliveries (source, sha256)
where outcome = 'loaded' and replay_of is null;
drop index ops.deliveries_looked_at_once;
create unique index deliveries_looked_at_once on ops.deliveries (uri, file_version)
where replay_of is null and withdraws is null;
create index deliveries_withdrawn on ops.deliveries (withdraws) where withdraws is not null;

-- Who did what to deliveries, and why.
create table ops.audit_log (
    audit_id bigint generated always as identity primary key,
    happened_at timestamptz not null default now(),
    who text not null,
    action text not null,
    delivery_id bigint references ops.deliveries,
    reason text not null
);

-- A slice is a source, a date and, for hourly files, an hour. A withdrawal is a ledger row of its
-- own, so that the number that pins a run's inputs pins it too.
drop view ops.active_deliveries;
drop function ops.active_deliveries_as_of(bigint);

create function ops.active_deliveries_as_of(as_of bigint)
returns table (
    source text, slice_date date, slice_hour smallint, slice_days integer, delivery_id bigint
)
language sql stable
as $$
    select distinct on (deliveries.source, deliveries.slice_date, deliveries.slice_hour)
        deliveries.source,
        deliveries.slice_date,
        deliveries.slice_hour,
        deliveries.slice_days,
        deliveries.delivery_id
    from ops.deliveries
    where
        deliveries.outcome = 'loaded'
        and deliveries.delivery_id <= $1
        and not exists (
            select from ops.deliveries as withdrawals
            where
                withdrawals.withdraws = deliveries.delivery_id
                and withdrawals.delivery_id <= $1
        )
    order by
        deliveries.source,
        deliveries.slice_date,
        deliveries.slice_hour,
        deliveries.delivery_id desc
$$;

create view ops.active_deliveries as
select active.source, active.slice_date, active.slice_hour, active.delivery_id
from ops.active_deliveries_as_of(ops.as_of()) as active;

-- Ids in commit order, with loaders in parallel. Whoever takes ids holds a lock named by the first
-- of them until its transaction ends; before it commits, it waits for every holder of smaller ones.
create function ops.take_delivery_ids(wanted integer) returns bigint
language plpgsql
as $$
declare
    first bigint;
begin
    perform pg_advisory_lock(hashtext('airworthy delivery ids'));
    select min(id) into first
    from (select nextval('ops.delivery_ids') as id from generate_series(1, wanted)) as ids;
    perform pg_advisory_xact_lock(hashtext('airworthy delivery'), mod(first, 2147483647)::integer);
    perform pg_advisory_unlock(hashtext('airworthy delivery ids'));
    return first;
exception when others or query_canceled then
    perform pg_advisory_unlock(hashtext('airworthy delivery ids'));
    raise;
end
$$;

create function ops.await_earlier_deliveries(mine bigint) returns void
language plpgsql
as $$
declare
    earlier integer;
begin
    for earlier in
        select objid::bigint::integer from pg_locks
        where
            locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())
            and classid = (hashtext('airworthy delivery')::bigint & 4294967295)::oid
            and objsubid = 2
            and objid::bigint < mod(mine, 2147483647)
        order by objid
    loop
        perform pg_advisory_xact_lock_shared(hashtext('airworthy delivery'), earlier);
    end loop;
end
$$;
