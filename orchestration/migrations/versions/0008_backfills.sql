-- A backfill: a range of dates, both ends included, rebuilt and published chunk by chunk.
create table ops.backfills (
    backfill_id bigint generated always as identity primary key,
    first_date date not null,
    last_date date not null,
    chunk text not null, -- as it was asked for
    models text[] not null, -- empty: all
    is_backwards boolean not null,
    is_staged boolean not null, -- published at the end, in one publication
    is_comparison boolean not null, -- published never
    keeps_going boolean not null, -- past blocked chunks
    max_active integer not null check (max_active > 0),
    as_of bigint not null,
    code_version text not null,
    runner text not null,
    requested_by text not null,
    reason text not null,
    state text not null default 'running'
    check (state in ('running', 'paused', 'cancelled', 'finished')),
    planned_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    check (first_date <= last_date),
    constraint backfills_do_not_overlap exclude using gist (
        daterange(first_date, last_date, '[]') with &&
    ) where (state in ('running', 'paused'))
);

create table ops.backfill_chunks (
    backfill_id bigint not null references ops.backfills,
    number integer not null,
    first_date date not null,
    last_date date not null,
    run_id bigint references ops.runs, -- the newest that was planned for it
    is_empty boolean not null default false, -- nothing was ever delivered for its dates
    primary key (backfill_id, number)
);

alter table ops.runs
    drop constraint runs_kind_check,
    add constraint runs_kind_check
    check (kind in ('changes', 'code', 'first', 'rollback', 'backfill')),
    add column backfill_id bigint references ops.backfills,
    -- The dates whose slices it brought to all models; null for a run limited to some.
    add column covers daterange,
    -- Once it is published, nothing differs any more from its inputs and code.
    add column completes boolean not null default false,
    -- Its partitions in the candidate are those published again.
    add column taken_back_at timestamptz;

-- Published is what the base run built from `as_of` by `code_version`, and over it, one after the
-- other, what the layers built for their dates: runs of backfills. No base: layers alone.
alter table ops.publications
    alter column base_run_id drop not null,
    add column layers bigint[] not null default '{}';

-- All inputs and code that a publication shows.
create view ops.publication_inputs as
select publication_id, is_retained, as_of, code_version from ops.publications
union
select publication_id, is_retained, runs.as_of, runs.code_version
from ops.publications inner join ops.runs on runs.run_id = any (layers);

-- How far each chunk is. Published only while its publication is in effect; passed only while
-- nobody else has built anything since.
create view ops.backfill_chunk_states as
select
    chunks.*,
    case
        when chunks.is_empty then 'empty'
        when
            runs.state = 'published'
            and (chunks.run_id = any (latest.layers) or chunks.run_id <= latest.base_run_id)
            then 'published'
        when not verdicts.passed then 'blocked'
        when verdicts.passed and not exists (
            select from ops.runs as others
            where
                others.run_id > chunks.run_id and others.build_started_at is not null
                and others.backfill_id is distinct from chunks.backfill_id
        ) then 'passed'
        else 'waiting'
    end as state
from ops.backfill_chunks as chunks
left join ops.runs using (run_id)
left join ops.verdicts using (run_id)
left join lateral (
    select layers, base_run_id from ops.publications order by publication_id desc limit 1
) as latest on true;

-- Put back into the candidate what is published of the partitions of an unpublished run, so that
-- others can be built beside them. Only marts have something to put back.
create function ops.take_back(run_id bigint) returns void
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    mart text;
    condition text;
    shared text;
begin
    perform from ops.runs
    where runs.run_id = $1 and state in ('blocked', 'superseded') and backfill_id is not null
    for update;
    if not found then
        raise 'Run % is not the blocked run of a backfill.', run_id using errcode = 'AWRUN';
    end if;
    for mart in
        select name from ops.run_nodes as nodes
        where nodes.run_id = $1 and is_mart and not is_full order by name
    loop
        continue when to_regclass(format('candidate.%I', mart)) is null;
        condition := ops.run_condition($1, mart);
        execute format('delete from candidate.%I where %s', mart, condition);
        continue when to_regclass(format('published.%I', mart)) is null;
        select string_agg(quote_ident(p.attname), ', ') into shared
        from pg_attribute as p inner join pg_attribute as c using (attname)
        where
            p.attrelid = format('published.%I', mart)::regclass
            and c.attrelid = format('candidate.%I', mart)::regclass
            and p.attnum > 0 and not p.attisdropped and not c.attisdropped;
        execute format(
            'insert into candidate.%I (%s) select %s from published.%I where %s',
            mart, shared, shared, mart, condition
        );
    end loop;
    update ops.runs set taken_back_at = now() where runs.run_id = $1;
end
$$;

revoke execute on function ops.take_back(bigint) from public;
grant execute on function ops.take_back(bigint) to airworthy_transformer;
grant select on ops.backfills, ops.backfill_chunks, ops.publication_inputs,
ops.backfill_chunk_states
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
grant insert, update on ops.backfills, ops.backfill_chunks to airworthy_transformer;
grant insert on ops.audit_log to airworthy_transformer;

-- Make the audited candidate what readers see, all marts or none; the publication's id.
create or replace function ops.publish(run_id bigint, token uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    mart text;
    id bigint;
    held record;
    before ops.publications;
    this ops.runs;
    same_key text;
    condition text;
begin
    perform ops.require_publishable($1, $2);
    select * into held from ops.holds where lifted_at is null;
    if found then
        raise 'Publishing is held since % by %: %', held.set_at, held.set_by, held.reason
        using errcode = 'AWHLD';
    end if;
    for mart in
        select name from ops.run_nodes as nodes where nodes.run_id = $1 and is_mart order by name
    loop
        execute format('lock table candidate.%I in share mode', mart);
    end loop;
    if ops.candidate_digest($1) is distinct from (
        select candidate_digest from ops.verdicts where verdicts.run_id = $1
    ) then
        raise 'The candidate of run % changed after it was audited.', run_id using errcode = 'AWCHG';
    end if;
    if exists (
        select from ops.backfills
        where backfill_id = (select backfill_id from ops.runs where runs.run_id = $1)
            and is_comparison
    ) then
        raise 'Run % was built to be compared, not to be published.', run_id
        using errcode = 'AWRUN';
    end if;
    select * into before from ops.publications order by publication_id desc limit 1;
    select * into this from ops.runs where runs.run_id = $1;
    if this.backfill_id is null or this.completes then
        insert into ops.publications (run_id, base_run_id, as_of, code_version, published_by)
        values ($1, $1, this.as_of, this.code_version, this.requested_by)
        returning publication_id into id;
    else
        insert into ops.publications
            (run_id, base_run_id, as_of, code_version, published_by, layers)
        values (
            $1, before.base_run_id, coalesce(before.as_of, 0), coalesce(before.code_version, ''),
            this.requested_by, coalesce(before.layers, '{}') || $1
        )
        returning publication_id into id;
    end if;
    for mart in
        select name from ops.run_nodes as nodes where nodes.run_id = $1 and is_mart order by name
    loop
        select string_agg(format('c.%I = p.%I', k, k), ' and ') into same_key
        from unnest(ops.key_of(format('published.%I', mart)::regclass)) as k;
        condition := ops.run_condition($1, mart);
        perform ops.apply_changes(
            id, mart, format('candidate.%I', mart), condition,
            format('%s and not exists (select from candidate.%I as c where %s)', condition, mart, same_key)
        );
    end loop;
    update ops.runs set state = 'published', finished_at = now() where runs.run_id = $1;
    -- A run that stands for all chunks of a staged backfill is now the run of each.
    update ops.backfill_chunks as chunks set run_id = $1 from ops.backfills as backfills
    where
        chunks.backfill_id = this.backfill_id and backfills.backfill_id = this.backfill_id
        and backfills.is_staged;
    return id;
end
$$;

-- Publish again what publication `target` held, and hold back what comes later; the new
-- publication's id.
create or replace function ops.roll_back(target bigint, reason text, who text) returns bigint
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    mart text;
    id bigint;
    run bigint;
    newest bigint;
    key text;
    same_key text;
    earliest text;
begin
    lock table ops.publications in share row exclusive mode;
    select max(publication_id) into newest from ops.publications;
    if not exists (select from ops.publications where publication_id = target) or target >= newest then
        raise 'There is no publication % to go back to; the newest is %.', target, newest
        using errcode = 'AWRUN';
    end if;
    if exists (
        select from ops.publications where publication_id > target and not is_retained
    ) then
        raise 'Publication % is not retained: gc removed what it would take.', target
        using errcode = 'AWRUN';
    end if;
    insert into ops.runs (kind, runner, requested_by, as_of, code_version, state, finished_at)
    select 'rollback', 'shell', who, as_of, code_version, 'published', now()
    from ops.publications where publication_id = target
    returning run_id into run;
    -- The rows passed the gate when they were published first.
    insert into ops.verdicts (run_id, passed, candidate_digest)
    select run, true, candidate_digest from ops.verdicts
    inner join ops.publications using (run_id) where publication_id = target;
    insert into ops.publications
        (run_id, base_run_id, as_of, code_version, published_by, restores, layers)
    select run, base_run_id, as_of, code_version, who, target, layers
    from ops.publications where publication_id = target
    returning publication_id into id;
    for mart in
        select relname from pg_class
        where relnamespace = 'history'::regnamespace and relkind = 'r' order by relname
    loop
        select string_agg(quote_ident(k), ', '), string_agg(format('c.%I = p.%I', k, k), ' and ')
        into key, same_key
        from unnest(ops.key_of(format('published.%I', mart)::regclass)) as k;
        -- The oldest trace of each key since then says what the row was.
        earliest := format(
            '(select distinct on (%s) * from history.%I where publication_id > %s and publication_id < %s'
            ' order by %s, publication_id)', key, mart, target, id, key
        );
        execute format('create temporary table earliest on commit drop as select * from %s as e', earliest);
        if not exists (select from earliest) then
            drop table earliest;
            continue;
        end if;
        perform ops.apply_changes(
            id, mart, '(select * from earliest where change <> ''insert'') as e', 'true',
            format('exists (select from earliest as c where c.change = ''insert'' and %s)', same_key)
        );
        drop table earliest;
    end loop;
    insert into ops.holds (reason, set_by) select reason, who
    where not exists (select from ops.holds where lifted_at is null);
    insert into ops.audit_log (who, action, publication_id, reason) values (who, 'rollback', id, reason);
    return id;
end
$$;
