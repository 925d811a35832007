-- Published tables have the shape of the audited candidate: constraints, indexes, comments and who may
-- read, besides the columns. It changes in the transaction that publishes the rows, or not at all.

-- The shape of each mart as readers have it since a publication; a row only where it changed.
create table ops.publication_shapes (
    mart text not null,
    publication_id bigint not null references ops.publications,
    shape jsonb not null, -- as `ops.shape_of` says it
    primary key (mart, publication_id)
);
comment on table ops.publication_shapes is 'Which shape each published mart has had since when.';
grant select on ops.publication_shapes
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;

-- A mart may have columns of any name but these two.
do $$
declare
    mart name;
begin
    for mart in
        select relname from pg_class where relnamespace = 'history'::regnamespace and relkind = 'r'
    loop
        execute format('alter table history.%I rename column publication_id to _publication_id', mart);
        execute format('alter table history.%I rename column change to _change', mart);
    end loop;
end
$$;

-- How an index is made, without its name and its table's.
create function ops.definition_of(index_id oid) returns text
language sql stable set search_path = pg_catalog
as $$
    select kind || substr(
        pg_get_indexdef($1),
        1 + length(format('CREATE %sINDEX %I ON %I.%I ', kind, of.relname, nspname, on_table.relname))
    )
    from pg_index
    cross join lateral (select case when indisunique then 'UNIQUE ' else '' end as kind) as kinds
    inner join pg_class as of on of.oid = indexrelid
    inner join pg_class as on_table on on_table.oid = indrelid
    inner join pg_namespace on pg_namespace.oid = on_table.relnamespace
    where indexrelid = $1
$$;

-- What a table demands of its rows, how they are found, what it says about itself and who may read
-- it, but for its columns and its key: sets of texts, the same for tables that differ in names only.
create function ops.shape_of(relation regclass) returns jsonb
language sql stable set search_path = pg_catalog
as $$
    select jsonb_build_object(
        'not_null', (
            select coalesce(jsonb_agg(attname order by attname collate "C"), '[]') from pg_attribute
            where attrelid = $1 and attnum > 0 and not attisdropped and attnotnull
        ),
        'constraints', (
            select coalesce(jsonb_agg(distinct pg_get_constraintdef(oid)), '[]') from pg_constraint
            where conrelid = $1 and contype in ('c', 'u', 'x')
        ),
        'indexes', (
            select coalesce(jsonb_agg(distinct ops.definition_of(indexrelid)), '[]') from pg_index
            where
                indrelid = $1
                and not exists (
                    select from pg_constraint
                    where conindid = indexrelid and contype in ('p', 'u', 'x')
                )
        ),
        'comments', (
            select coalesce(jsonb_object_agg(coalesce(attname, ''), description), '{}')
            from pg_description
            left join pg_attribute on attrelid = objoid and attnum = objsubid and objsubid > 0
            where classoid = 'pg_class'::regclass and objoid = $1
        ),
        'readers', (
            select coalesce(jsonb_agg(distinct reader), '[]')
            from
                pg_class,
                aclexplode(relacl) as acl,
                coalesce((select rolname from pg_roles where oid = grantee), 'public') as reader
            where
                pg_class.oid = $1 and privilege_type = 'SELECT' and grantee <> relowner
                and reader not in ('airworthy_auditor', 'airworthy_reader')
        )
    )
$$;

-- The texts that the first list has and the second has not.
create function ops.missing(had jsonb, wanted jsonb) returns setof text
language sql immutable
as $$
    select jsonb_array_elements_text(coalesce(had, '[]'))
    except
    select jsonb_array_elements_text(coalesce(wanted, '[]'))
    order by 1
$$;

-- The columns that a published mart is still to get, with their types, in order.
create function ops.new_columns(mart text) returns table (name name, kind text)
language sql stable set search_path = pg_catalog
as $$
    select c.attname, format_type(c.atttypid, c.atttypmod)
    from pg_attribute as c left join pg_attribute as p
        on p.attrelid = format('published.%I', mart)::regclass and p.attname = c.attname
        and not p.attisdropped
    where
        c.attrelid = format('candidate.%I', mart)::regclass and c.attnum > 0
        and not c.attisdropped and p.attname is null
    order by c.attnum
$$;

-- Whether a published mart must get its new shape before its rows, which the old one might refuse.
create function ops.must_loosen(had jsonb, wants jsonb) returns boolean
language sql immutable
as $$
    select
        exists (select from ops.missing(had -> 'not_null', wants -> 'not_null'))
        or exists (select from ops.missing(had -> 'constraints', wants -> 'constraints'))
        or exists (select from ops.missing(had -> 'indexes', wants -> 'indexes'))
$$;

-- Whether readers of a published mart must wait while it gets another shape. Indexes are added,
-- comments and grants changed, while they read.
create function ops.must_lock(had jsonb, wants jsonb) returns boolean
language sql immutable
as $$
    select
        ops.must_loosen(had, wants)
        or exists (select from ops.missing(wants -> 'not_null', had -> 'not_null'))
        or exists (select from ops.missing(wants -> 'constraints', had -> 'constraints'))
$$;

-- Let nobody read `marts` until this transaction ends. Waits for readers a tenth of a second at a time,
-- and lets the next ones pass in between.
create function ops.lock_readers_out(marts text[]) returns void
language plpgsql
as $$
declare
    tables text;
    before text := current_setting('lock_timeout');
begin
    select string_agg(format('published.%I', mart), ', ') into tables from unnest(marts) as mart;
    if tables is null then
        return;
    end if;
    perform set_config('lock_timeout', '100ms', true);
    for attempt in 1..20 loop
        begin
            execute format('lock table %s in access exclusive mode', tables);
            perform set_config('lock_timeout', before, true);
            raise notice 'locked %', array_to_string(marts, ', ');
            return;
        exception when lock_not_available then
            perform pg_sleep(0.1 + 0.4 * random());
        end;
    end loop;
    raise 'A reader''s transaction stands in the way of the new shape of %.',
        array_to_string(marts, ', ') using errcode = 'AWLCK';
end
$$;

-- Before rows change: take from a published mart what its new shape does not demand.
create function ops.loosen(mart text, had jsonb, wants jsonb) returns void
language plpgsql set search_path = pg_catalog
as $$
declare
    relation regclass := format('published.%I', mart)::regclass;
    found record;
begin
    for found in
        select conname from pg_constraint
        where
            conrelid = relation and contype in ('c', 'u', 'x')
            and pg_get_constraintdef(oid) in (
                select ops.missing(had -> 'constraints', wants -> 'constraints')
            )
    loop
        execute format('alter table %s drop constraint %I', relation, found.conname);
    end loop;
    for found in
        select indexrelid::regclass as name from pg_index
        where
            indrelid = relation
            and ops.definition_of(indexrelid) in (
                select ops.missing(had -> 'indexes', wants -> 'indexes')
            )
            and not exists (select from pg_constraint where conindid = indexrelid)
    loop
        execute format('drop index %s', found.name);
    end loop;
    for found in select ops.missing(had -> 'not_null', wants -> 'not_null') as name loop
        execute format('alter table %s alter column %I drop not null', relation, found.name);
    end loop;
end
$$;

-- After rows changed: give a published mart what its new shape demands, says and allows.
create function ops.tighten(mart text, had jsonb, wants jsonb) returns void
language plpgsql set search_path = pg_catalog
as $$
declare
    relation regclass := format('published.%I', mart)::regclass;
    found text;
begin
    -- Deferred checks of what was written stand in the way of changing a table.
    set constraints all immediate;
    for found in select ops.missing(wants -> 'not_null', had -> 'not_null') loop
        execute format('alter table %s alter column %I set not null', relation, found);
    end loop;
    for found in select ops.missing(wants -> 'constraints', had -> 'constraints') loop
        execute format('alter table %s add %s', relation, found);
    end loop;
    for found in select ops.missing(wants -> 'indexes', had -> 'indexes') loop
        execute case
            when found like 'UNIQUE %' then format('create unique index on %s %s', relation, substr(found, 8))
            else format('create index on %s %s', relation, found)
        end;
    end loop;
    for found in
        select coalesce(h.key, w.key)
        from jsonb_each_text(coalesce(had -> 'comments', '{}')) as h
        full join jsonb_each_text(wants -> 'comments') as w using (key)
        where h.value is distinct from w.value
    loop
        execute case
            when found = '' then format('comment on table %s is %L', relation, wants #>> '{comments,""}')
            else format(
                'comment on column %s.%I is %L', relation, found, wants -> 'comments' ->> found
            )
        end;
    end loop;
    for found in select ops.missing(had -> 'readers', wants -> 'readers') loop
        execute format('revoke select on %s from %s', relation, ops.grantee(found));
    end loop;
    for found in select ops.missing(wants -> 'readers', had -> 'readers') loop
        execute format('grant select on %s to %s', relation, ops.grantee(found));
    end loop;
exception
    when check_violation or not_null_violation or unique_violation or exclusion_violation then
        raise '%: rows that this run is not about break its new constraints: %', mart, sqlerrm
            using errcode = 'AWSHP';
end
$$;

-- A role as SQL names it.
create function ops.grantee(reader text) returns text
language sql immutable
as $$ select case reader when 'public' then 'public' else quote_ident(reader) end $$;

-- The shape of a published mart as of a publication, as it was recorded; null if it was not.
create function ops.published_shape(mart text, as_of bigint default 9223372036854775807) returns jsonb
language sql stable
as $$
    select shape from ops.publication_shapes
    where publication_shapes.mart = $1 and publication_id <= as_of
    order by publication_id desc limit 1
$$;

create function ops.record_shape(publication_id bigint, mart text, had jsonb, shape jsonb) returns void
language sql
as $$
    insert into ops.publication_shapes (publication_id, mart, shape)
    select $1, $2, $4 where $3 is distinct from $4
$$;

-- The published table of a new mart, and its history; nobody reads them before the caller commits.
create or replace function ops.create_published(mart text) returns void
language plpgsql
as $$
declare
    col record;
begin
    execute format('create table published.%I (like candidate.%I including all)', mart, mart);
    execute format(
        'create table history.%I (_publication_id bigint not null, _change text not null,'
        ' like published.%I); create index on history.%I (_publication_id)',
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
end
$$;

-- Raise unless a candidate mart can go on where the published one is.
create function ops.require_same_mart(mart text) returns void
language plpgsql stable set search_path = pg_catalog
as $$
declare
    lost text;
    key text[] := ops.key_of(to_regclass(format('candidate.%I', mart)));
begin
    if to_regclass(format('candidate.%I', mart)) is null then
        raise 'The candidate holds no %.', mart using errcode = 'AWSHP';
    end if;
    if key is null then
        raise 'The mart % has no primary key; publication compares rows by it.', mart
        using errcode = 'AWKEY';
    end if;
    if to_regclass(format('published.%I', mart)) is null then
        return;
    end if;
    if not key @> ops.key_of(format('published.%I', mart)::regclass)
        or not key <@ ops.key_of(format('published.%I', mart)::regclass)
    then
        raise '%: its primary key is no longer that of what is published.', mart
        using errcode = 'AWSHP';
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
end
$$;

-- Whether rows of a table must differ in more than the primary key: two of them may then swap values,
-- which an update does not survive.
create function ops.is_unique_elsewhere(relation regclass) returns boolean
language sql stable set search_path = pg_catalog
as $$
    select exists (
        select from pg_index
        where indrelid = $1 and not indisprimary and (indisunique or indisexclusion)
    )
$$;

-- Apply to one published mart the rows of `wanted` (a relation or subquery with its columns), within
-- `condition`; `gone` names the keys to delete. Pre-images come before the change they belong to.
-- Rows are compared byte by byte, which types without an equality allow as well.
create or replace function ops.apply_changes(
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
    was_updated text; -- by this publication: `h` is the pre-image of the row `p`
    key_list text;
    same_content text;
    same_row text;
    assigned text;
    inserted bigint;
    updated bigint := 0;
    lineage_updated bigint := 0;
    deleted bigint;
begin
    select
        string_agg(format('p.%I = c.%I', k, k), ' and '),
        format('h._publication_id = %s and h._change = ''update'' and ', publication_id)
        || string_agg(format('p.%I = h.%I', k, k), ' and '),
        string_agg(format('%I', k), ', ')
    into same_key, was_updated, key_list from unnest(key) as k;
    select
        format(
            'record_image_eq(row(%s), row(%s))',
            string_agg('p.' || name, ', '), string_agg('c.' || name, ', ')
        ),
        coalesce(format(
            'record_image_eq(row(%s), row(%s))',
            string_agg('p.' || name, ', ') filter (where not attname = any (ops.lineage_columns())),
            string_agg('c.' || name, ', ') filter (where not attname = any (ops.lineage_columns()))
        ), 'true'),
        string_agg(format('%s = c.%s', name, name), ', ')
    into same_row, same_content, assigned
    from pg_attribute, quote_ident(attname) as name
    where attrelid = relation and attnum > 0 and not attisdropped and not attname = any (key);

    execute format(
        'with gone as (delete from %s as p where %s returning p.*)'
        ' insert into history.%I (_publication_id, _change, %s)'
        ' select %s, ''delete'', %s from gone as p',
        relation, gone, mart, columns, publication_id, ops.columns_of(relation, 'p')
    );
    get diagnostics deleted = row_count;
    if assigned is not null then
        execute format(
            'with changed as (select %s, %s as _change from %s as p'
            ' inner join (select * from %s where %s) as c on %s where not (%s)),'
            ' kept as (insert into history.%I (_publication_id, _change, %s)'
            ' select %s, ''update'', %s from changed)'
            ' select count(*) filter (where not _change), count(*) filter (where _change)'
            ' from changed',
            ops.columns_of(relation, 'p'), same_content, relation, wanted, condition, same_key,
            same_row, mart, columns, publication_id, columns
        ) into updated, lineage_updated;
        if ops.is_unique_elsewhere(relation) then
            execute format(
                'delete from %s as p using history.%I as h where %s', relation, mart, was_updated
            );
        else
            execute format(
                'update %s as p set %s from (select * from %s where %s) as c, history.%I as h'
                ' where %s and %s',
                relation, assigned, wanted, condition, mart, same_key, was_updated
            );
        end if;
    end if;
    execute format(
        'with new as (insert into %s (%s) select %s from (select * from %s where %s) as c'
        ' where not exists (select from %s as p where %s) returning %s)'
        ' insert into history.%I (_publication_id, _change, %s)'
        ' select %s, ''insert'', %s from new as p'
        ' where not exists (select from history.%I as h where %s)',
        relation, columns, ops.columns_of(relation, 'c'), wanted, condition, relation, same_key,
        key_list, mart, key_list, publication_id, key_list, mart, was_updated
    );
    get diagnostics inserted = row_count;
    insert into ops.publication_changes
        (publication_id, mart, inserted, updated, deleted, rows_after, lineage_updated)
    select
        $1, $2, inserted, updated, deleted,
        -- Rows after: those before, and what changed; counting the table would cost its size.
        coalesce((
            select before.rows_after from ops.publication_changes as before
            where before.mart = $2 order by before.publication_id desc limit 1
        ), 0) + inserted - deleted,
        lineage_updated;
    raise notice 'published %', mart;
end
$$;

drop function ops.prepare_publication(bigint, uuid);

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
    audited jsonb := '{}';
    had jsonb := '{}'; -- the shapes of published marts that are to change, by mart
    wants jsonb := '{}';
    locked text[] := '{}'; -- marts whose readers have to wait
    altered text[] := '{}'; -- those of them that must get their new shape before their rows
    col record;
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
        perform ops.require_same_mart(mart);
        execute format('lock table candidate.%I in share mode', mart);
        audited := audited || jsonb_build_object(
            mart,
            ops.rows_digest(format('candidate.%I', mart)::regclass, ops.run_condition($1, mart))
        );
    end loop;
    if ops.digest_of_marts(audited) is distinct from (
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
    for mart in select keys from jsonb_object_keys(audited) as keys order by keys collate "C" loop
        wants := wants || jsonb_build_object(
            mart, ops.shape_of(format('candidate.%I', mart)::regclass)
        );
        if to_regclass(format('published.%I', mart)) is null then
            perform ops.create_published(mart);
            had := had || jsonb_build_object(
                mart, ops.shape_of(format('published.%I', mart)::regclass)
            );
            continue;
        end if;
        had := had || jsonb_build_object(
            mart,
            coalesce(
                ops.published_shape(mart), ops.shape_of(format('published.%I', mart)::regclass)
            )
        );
        if exists (select from ops.new_columns(mart)) or ops.must_loosen(had -> mart, wants -> mart) then
            altered := altered || mart;
        end if;
        if mart = any (altered) or ops.must_lock(had -> mart, wants -> mart) then
            locked := locked || mart;
        end if;
    end loop;
    -- What readers have to wait for comes last: first all rows that today's shapes can take.
    for mart in select keys from jsonb_object_keys(audited) as keys order by keys collate "C" loop
        if not mart = any (locked) then
            perform ops.publish_rows(id, $1, mart, audited ->> mart);
            perform ops.tighten(mart, had -> mart, wants -> mart);
        elsif not mart = any (altered) then
            perform ops.publish_rows(id, $1, mart, audited ->> mart);
        end if;
    end loop;
    perform ops.lock_readers_out(locked);
    foreach mart in array locked loop
        if mart = any (altered) then
            for col in select * from ops.new_columns(mart) loop
                execute format('alter table published.%I add column %I %s', mart, col.name, col.kind);
                execute format('alter table history.%I add column %I %s', mart, col.name, col.kind);
            end loop;
            perform ops.loosen(mart, had -> mart, wants -> mart);
            perform ops.publish_rows(id, $1, mart, audited ->> mart);
        end if;
        perform ops.tighten(mart, had -> mart, wants -> mart);
    end loop;
    for mart in select keys from jsonb_object_keys(audited) as keys loop
        perform ops.record_shape(id, mart, ops.published_shape(mart), wants -> mart);
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

-- The rows of one mart that a run rebuilt; `digest` is that of the audited ones.
create function ops.publish_rows(publication_id bigint, run_id bigint, mart text, digest text)
returns void
language plpgsql set search_path = pg_catalog
as $$
declare
    condition text := ops.run_condition(run_id, mart);
    same_key text;
begin
    select string_agg(format('c.%I = p.%I', k, k), ' and ') into same_key
    from unnest(ops.key_of(format('published.%I', mart)::regclass)) as k;
    perform ops.apply_changes(
        publication_id, mart, format('candidate.%I', mart), condition,
        format('%s and not exists (select from candidate.%I as c where %s)', condition, mart, same_key)
    );
    if ops.rows_digest(format('published.%I', mart)::regclass, condition) is distinct from digest then
        raise 'The mart % would not hold the rows that were audited.', mart using errcode = 'AWNET';
    end if;
end
$$;
revoke execute on function
ops.loosen(text, jsonb, jsonb), ops.tighten(text, jsonb, jsonb), ops.lock_readers_out(text[]),
ops.publish_rows(bigint, bigint, text, text),
ops.record_shape(bigint, text, jsonb, jsonb)
from public;

-- Publish again what publication `target` held, in the shape it had, and hold back what comes later;
-- the new publication's id. Who may read stays as it is: what was revoked since is not given back.
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
    had jsonb := '{}';
    wants jsonb := '{}';
    shape jsonb;
    locked text[] := '{}';
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
        where relnamespace = 'history'::regnamespace and relkind = 'r'
    loop
        shape := ops.published_shape(mart);
        had := had || jsonb_build_object(mart, shape);
        wants := wants || jsonb_build_object(
            mart,
            coalesce(ops.published_shape(mart, target), shape)
            || jsonb_build_object('readers', shape -> 'readers')
        );
        if ops.must_lock(had -> mart, wants -> mart) then
            locked := locked || mart;
        end if;
    end loop;
    perform ops.lock_readers_out(locked);
    for mart in select keys from jsonb_object_keys(had) as keys order by keys collate "C" loop
        select string_agg(quote_ident(k), ', '), string_agg(format('c.%I = p.%I', k, k), ' and ')
        into key, same_key
        from unnest(ops.key_of(format('published.%I', mart)::regclass)) as k;
        -- The oldest trace of each key since then says what the row was.
        execute format(
            'create temporary table earliest on commit drop as select distinct on (%s) *'
            ' from history.%I where _publication_id > %s and _publication_id < %s'
            ' order by %s, _publication_id', key, mart, target, id, key
        );
        if exists (select from earliest) or had -> mart is distinct from wants -> mart then
            perform ops.loosen(mart, had -> mart, wants -> mart);
            perform ops.apply_changes(
                id, mart, '(select * from earliest where _change <> ''insert'') as e', 'true',
                format('exists (select from earliest as c where c._change = ''insert'' and %s)', same_key)
            );
            perform ops.tighten(mart, had -> mart, wants -> mart);
            perform ops.record_shape(id, mart, had -> mart, wants -> mart);
        end if;
        drop table earliest;
    end loop;
    insert into ops.holds (reason, set_by) select reason, who
    where not exists (select from ops.holds where lifted_at is null);
    insert into ops.audit_log (who, action, publication_id, reason) values (who, 'rollback', id, reason);
    return id;
end
$$;

-- What is published so far has the shape that its table has.
insert into ops.publication_shapes (publication_id, mart, shape)
select changes.publication_id, relname, ops.shape_of(pg_class.oid)
from pg_class
inner join lateral (
    select min(publication_id) as publication_id from ops.publication_changes where mart = relname
) as changes on changes.publication_id is not null
where relnamespace = 'published'::regnamespace and relkind = 'r';
