-- Rollback publishes again what a retained publication held, and holds back what comes later.
alter table ops.runs
    drop constraint runs_kind_check,
    add constraint runs_kind_check check (kind in ('changes', 'code', 'first', 'rollback'));

alter table ops.publications
    add column restores bigint references ops.publications,
    -- The run whose candidate this publication shows: what later runs built is not in it.
    add column base_run_id bigint references ops.runs,
    add column is_retained boolean not null default true;
update ops.publications set base_run_id = run_id;
alter table ops.publications alter column base_run_id set not null;

alter table ops.audit_log add column publication_id bigint references ops.publications;

alter table ops.deliveries add column rows_removed_at timestamptz; -- by gc; it can count no more

create table ops.holds (
    hold_id bigint generated always as identity primary key,
    reason text not null,
    set_by text not null,
    set_at timestamptz not null default clock_timestamp(),
    lifted_by text,
    lifted_at timestamptz
);
create unique index holds_only_one_is_active on ops.holds ((true)) where lifted_at is null;

-- The active delivery of each slice as of N, of those whose rows are still there.
create or replace function ops.active_deliveries_as_of(as_of bigint)
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
        and deliveries.rows_removed_at is null
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

-- What a table holds ------------------------------------------------------------------------------

-- The columns of a table, as a list; those of `alias`, if given.
create function ops.columns_of(relation regclass, alias text default '', metadata boolean default true)
returns text
language sql stable
as $$
    select string_agg(
        case when $2 = '' then quote_ident(attname) else $2 || '.' || quote_ident(attname) end,
        ', ' order by attname collate "C"
    )
    from pg_catalog.pg_attribute
    where
        attrelid = $1 and attnum > 0 and not attisdropped
        and ($3 or left(attname, 1) <> '_')
$$;

-- The primary key's columns, in order.
create function ops.key_of(relation regclass) returns text[]
language sql stable
as $$
    select array_agg(attname::text order by attnum)
    from pg_catalog.pg_index
    inner join pg_catalog.pg_attribute on attrelid = indrelid and attnum = any (indkey)
    where indrelid = $1 and indisprimary
$$;

-- Rows and a digest of them that does not depend on their order: 120 bits of md5 per row, summed.
-- Columns that begin with `_` count only with `metadata`.
create function ops.digest_of(
    relation regclass, condition text default 'true', metadata boolean default false
)
returns table (row_count bigint, digest text)
language plpgsql stable
as $$
declare
    columns text := ops.columns_of(relation, '', metadata);
begin
    return query execute format(
        $sql$
            select count(*), substr(encode(sha256(convert_to(concat_ws(
                '|', %L, count(*),
                sum(('x' || substr(hash, 1, 15))::bit(60)::bigint),
                sum(('x' || substr(hash, 16, 15))::bit(60)::bigint)
            ), 'UTF8')), 'hex'), 1, 32)
            from (select md5(row(%s)::text) as hash from %s where %s) as hashed
        $sql$, columns, columns, relation, condition
    );
end
$$;

-- A condition on the rows of a mart that a run rebuilt.
create function ops.run_condition(run_id bigint, mart text) returns text
language sql stable
as $$
    select case
        when nodes.is_full or nodes.partition_column is null then 'true'
        else coalesce(
            (
                select '(' || string_agg(
                    format('%I between %L and %L', nodes.partition_column, first_date, last_date),
                    ' or '
                ) || ')'
                from ops.run_ranges($1, $2, 0)
            ), 'false'
        )
    end
    from ops.run_nodes as nodes
    where nodes.run_id = $1 and nodes.name = $2 and nodes.is_mart
$$;

-- One digest over all candidate rows that a run rebuilt, metadata columns included.
create function ops.candidate_digest(run_id bigint) returns text
language plpgsql stable
as $$
declare
    mart text;
    found record;
    said text := '';
begin
    for mart in
        select name from ops.run_nodes as nodes
        where nodes.run_id = $1 and is_mart order by name
    loop
        select * into found from ops.digest_of(
            format('candidate.%I', mart)::regclass, ops.run_condition($1, mart), true
        );
        said := said || concat_ws(' ', mart, found.row_count, found.digest) || chr(10);
    end loop;
    return substr(encode(sha256(convert_to(said, 'UTF8')), 'hex'), 1, 32);
end
$$;

-- Publish -----------------------------------------------------------------------------------------

-- Errors of these functions: AWRUN no such run or a stale one, AWGAT no passing verdict, AWCHG the
-- candidate is not the audited one, AWHLD publishing is held, AWSHP a mart's shape, AWKEY no key.

-- Raise unless this is the current run, with a passing verdict.
create function ops.require_publishable(run_id bigint, token uuid) returns void
language plpgsql
as $$
declare
    state text;
begin
    select runs.state into state from ops.runs where runs.run_id = $1 and runs.token = $2 for update;
    if state is null or state in ('published', 'superseded', 'skipped') then
        raise 'Run % is %, not passed.', run_id, coalesce(state, 'unknown')
        using errcode = 'AWRUN';
    end if;
    if state <> 'passed' or not exists (
        select from ops.verdicts where verdicts.run_id = $1 and verdicts.passed
    ) then
        raise 'Run % has no passing verdict.', run_id using errcode = 'AWGAT';
    end if;
end
$$;

-- Create the published tables of new marts and add the columns that others gained. Takes short locks
-- on tables that people read, so the caller sets lock_timeout and tries again.
create function ops.prepare_publication(run_id bigint, token uuid) returns void
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    mart text;
    col record;
    lost text;
begin
    perform ops.require_publishable($1, $2);
    for mart in
        select name from ops.run_nodes as nodes where nodes.run_id = $1 and is_mart order by name
    loop
        if to_regclass(format('candidate.%I', mart)) is null then
            raise 'The candidate holds no %.', mart using errcode = 'AWSHP';
        end if;
        if ops.key_of(format('candidate.%I', mart)::regclass) is null then
            raise 'The mart % has no primary key; publication compares rows by it.', mart
            using errcode = 'AWKEY';
        end if;
        if to_regclass(format('published.%I', mart)) is null then
            execute format('create table published.%I (like candidate.%I including all)', mart, mart);
            execute format(
                'create table history.%I (publication_id bigint not null, change text not null,'
                ' like published.%I); create index on history.%I (publication_id)',
                mart, mart, mart
            );
            -- Pre-images of inserted rows hold only the key: no other column may be demanded.
            for col in
                select attname from pg_attribute
                where
                    attrelid = format('history.%I', mart)::regclass and attnum > 2 and attnotnull
                    and not attname = any (ops.key_of(format('published.%I', mart)::regclass))
            loop
                execute format('alter table history.%I alter column %I drop not null', mart, col.attname);
            end loop;
        end if;
        select string_agg(p.attname, ', ' order by p.attnum) into lost
        from pg_attribute as p left join pg_attribute as c
            on c.attrelid = format('candidate.%I', mart)::regclass and c.attname = p.attname
            and c.atttypid = p.atttypid and c.atttypmod = p.atttypmod and not c.attisdropped
        where
            p.attrelid = format('published.%I', mart)::regclass and p.attnum > 0
            and not p.attisdropped and c.attname is null;
        if lost is not null then
            raise '%: % dropped or retyped; readers rely on it.', mart, lost using errcode = 'AWSHP';
        end if;
        for col in
            select c.attname, format_type(c.atttypid, c.atttypmod) as kind
            from pg_attribute as c left join pg_attribute as p
                on p.attrelid = format('published.%I', mart)::regclass and p.attname = c.attname
                and not p.attisdropped
            where
                c.attrelid = format('candidate.%I', mart)::regclass and c.attnum > 0
                and not c.attisdropped and p.attname is null
            order by c.attnum
        loop
            execute format('alter table published.%I add column %I %s', mart, col.attname, col.kind);
            execute format('alter table history.%I add column %I %s', mart, col.attname, col.kind);
        end loop;
    end loop;
end
$$;

-- Apply to one published mart the rows of `wanted` (a relation or subquery with its columns), within
-- `condition`; `gone` names the keys to delete. Pre-images come before the change they belong to.
create function ops.apply_changes(
    publication_id bigint, mart text, wanted text, condition text, gone text
)
returns void
language plpgsql
as $$
declare
    relation regclass := format('published.%I', mart)::regclass;
    key text[] := ops.key_of(relation);
    columns text := ops.columns_of(relation);
    same_key text;
    key_list text;
    compared_p text;
    compared_c text;
    assigned text;
    inserted bigint;
    updated bigint;
    deleted bigint;
begin
    select string_agg(format('p.%I = c.%I', k, k), ' and '), string_agg(format('%I', k), ', ')
    into same_key, key_list from unnest(key) as k;
    select
        string_agg('p.' || quote_ident(attname), ', ') filter (where left(attname, 1) <> '_'),
        string_agg('c.' || quote_ident(attname), ', ') filter (where left(attname, 1) <> '_'),
        string_agg(format('%I = c.%I', attname, attname), ', ')
    into compared_p, compared_c, assigned
    from pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped and not attname = any (key);

    execute format(
        'with gone as (delete from %s as p where %s returning p.*)'
        ' insert into history.%I (publication_id, change, %s)'
        ' select %s, ''delete'', %s from gone as p',
        relation, gone, mart, columns, publication_id, ops.columns_of(relation, 'p')
    );
    get diagnostics deleted = row_count;
    if compared_p is not null then
        execute format(
            'insert into history.%I (publication_id, change, %s)'
            ' select %s, ''update'', %s from %s as p inner join (select * from %s where %s) as c on %s'
            ' where row(%s) is distinct from row(%s)',
            mart, columns, publication_id, ops.columns_of(relation, 'p'), relation, wanted, condition,
            same_key, compared_p, compared_c
        );
        execute format(
            'update %s as p set %s from (select * from %s where %s) as c, history.%I as h'
            ' where %s and %s and h.publication_id = %s and h.change = ''update''',
            relation, assigned, wanted, condition, mart, same_key,
            replace(same_key, ' = c.', ' = h.'), publication_id
        );
    end if;
    get diagnostics updated = row_count;
    updated := coalesce(case when compared_p is not null then updated end, 0);
    execute format(
        'with new as (insert into %s (%s) select %s from (select * from %s where %s) as c'
        ' where not exists (select from %s as p where %s) returning %s)'
        ' insert into history.%I (publication_id, change, %s) select %s, ''insert'', new.* from new',
        relation, columns, ops.columns_of(relation, 'c'), wanted, condition, relation, same_key,
        key_list, mart, key_list, publication_id
    );
    get diagnostics inserted = row_count;
    execute format(
        'insert into ops.publication_changes select %s, %L, %s, %s, %s, %s',
        publication_id, mart, inserted, updated, deleted,
        -- Rows after: those before, and what changed; counting the table would cost its size.
        format(
            'coalesce((select rows_after from ops.publication_changes where mart = %L'
            ' order by publication_id desc limit 1), 0) + %s - %s', mart, inserted, deleted
        )
    );
    raise notice 'published %', mart;
end
$$;

-- Make the audited candidate what readers see, all marts or none; the publication's id.
create function ops.publish(run_id bigint, token uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    mart text;
    id bigint;
    held record;
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
    insert into ops.publications (run_id, base_run_id, as_of, code_version, published_by)
    select runs.run_id, runs.run_id, as_of, code_version, requested_by
    from ops.runs where runs.run_id = $1
    returning publication_id into id;
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
    return id;
end
$$;

-- Roll back ---------------------------------------------------------------------------------------

-- Publish again what publication `target` held, and hold back what comes later; the new
-- publication's id.
create function ops.roll_back(target bigint, reason text, who text) returns bigint
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
        (run_id, base_run_id, as_of, code_version, published_by, restores)
    select run, base_run_id, as_of, code_version, who, target
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
