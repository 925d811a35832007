-- Published is the audited candidate in every column: rows are compared as they are stored, and the
-- digest of what was published is that of what was audited.

-- What leads from a row back to its delivery. Two warehouses may differ in it, and only in it, where
-- they hold the same.
create function ops.lineage_columns() returns text[]
language sql immutable
as $$ select '{_delivery_id, _slice_date, _line}'::text[] $$;

-- The columns of a table, as a list; those of `alias`, if given; those of lineage only if wanted.
create or replace function ops.columns_of(
    relation regclass, alias text default '', metadata boolean default true
)
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
        and ($3 or not attname = any (ops.lineage_columns()))
$$;

-- Whether values of a type have a hash of their own; others are hashed as text.
create function ops.is_hashable(kind regtype) returns boolean
language sql stable
as $$
    select typcategory = 'E' or exists (
        select from pg_catalog.pg_opclass
        inner join pg_catalog.pg_am on pg_am.oid = opcmethod and amname = 'hash'
        where opcdefault and opcintype in (of.oid, of.typbasetype)
    )
    from pg_catalog.pg_type as of
    where of.oid = coalesce(
        (select nullif(typelem, 0) from pg_catalog.pg_type where oid = kind and typcategory = 'A'), kind
    )
$$;

-- How many rows, and a digest of all their columns, fast and for one database: rows are hashed as they
-- are, in a sixth of the time that their text takes.
create function ops.rows_digest(relation regclass, condition text) returns text
language plpgsql stable
as $$
declare
    columns text;
    found text;
begin
    select string_agg(
        quote_ident(attname) || case when ops.is_hashable(atttypid) then '' else '::text' end,
        ', ' order by attname collate "C"
    ) into columns
    from pg_catalog.pg_attribute
    where attrelid = relation and attnum > 0 and not attisdropped;
    execute format(
        'select concat_ws('' '', count(*), sum(hash_record_extended(row(%s), 0)),'
        ' sum(hash_record_extended(row(%s), 1))) from %s where %s',
        columns, columns, relation, condition
    ) into found;
    return found;
end
$$;

-- One digest of the digests of marts.
create function ops.digest_of_marts(digests jsonb) returns text
language sql immutable
as $$
    select substr(encode(sha256(convert_to(
        coalesce(string_agg(concat_ws(' ', key, value), chr(10) order by key collate "C"), ''), 'UTF8'
    )), 'hex'), 1, 32)
    from jsonb_each_text(digests)
$$;

-- One digest over all candidate rows that a run rebuilt.
create or replace function ops.candidate_digest(run_id bigint) returns text
language sql stable
as $$
    select ops.digest_of_marts(coalesce(
        jsonb_object_agg(
            name, ops.rows_digest(format('candidate.%I', name)::regclass, ops.run_condition($1, name))
        ), '{}'
    ))
    from ops.run_nodes as nodes
    where nodes.run_id = $1 and is_mart
$$;

-- Rows that stayed as they were, and lead to another delivery.
alter table ops.publication_changes add column lineage_updated bigint not null default 0;

-- The published table of a new mart, and its history; nobody reads them before the caller commits.
create function ops.create_published(mart text) returns void
language plpgsql
as $$
declare
    col record;
begin
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
end
$$;
revoke execute on function ops.create_published(text) from public;

-- Add the columns that published marts gained. Takes short locks on tables that people read, so the
-- caller sets lock_timeout and tries again.
create or replace function ops.prepare_publication(run_id bigint, token uuid) returns void
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
        continue when to_regclass(format('published.%I', mart)) is null;
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
    key_list text;
    same_content text;
    same_row text;
    assigned text;
    inserted bigint;
    updated bigint := 0;
    lineage_updated bigint := 0;
    deleted bigint;
begin
    select string_agg(format('p.%I = c.%I', k, k), ' and '), string_agg(format('%I', k), ', ')
    into same_key, key_list from unnest(key) as k;
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
        ' insert into history.%I (publication_id, change, %s)'
        ' select %s, ''delete'', %s from gone as p',
        relation, gone, mart, columns, publication_id, ops.columns_of(relation, 'p')
    );
    get diagnostics deleted = row_count;
    if assigned is not null then
        execute format(
            'with changed as (select p as old, %s as is_lineage from %s as p'
            ' inner join (select * from %s where %s) as c on %s where not (%s)),'
            ' kept as (insert into history.%I (publication_id, change, %s)'
            ' select %s, ''update'', %s from changed)'
            ' select count(*) filter (where not is_lineage), count(*) filter (where is_lineage)'
            ' from changed',
            same_content, relation, wanted, condition, same_key, same_row,
            mart, columns, publication_id, ops.columns_of(relation, '(old)')
        ) into updated, lineage_updated;
        execute format(
            'update %s as p set %s from (select * from %s where %s) as c, history.%I as h'
            ' where %s and %s and h.publication_id = %s and h.change = ''update''',
            relation, assigned, wanted, condition, mart, same_key,
            replace(same_key, ' = c.', ' = h.'), publication_id
        );
    end if;
    execute format(
        'with new as (insert into %s (%s) select %s from (select * from %s where %s) as c'
        ' where not exists (select from %s as p where %s) returning %s)'
        ' insert into history.%I (publication_id, change, %s) select %s, ''insert'', new.* from new',
        relation, columns, ops.columns_of(relation, 'c'), wanted, condition, relation, same_key,
        key_list, mart, key_list, publication_id
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
    audited jsonb := '{}';
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
    for mart in
        select name from ops.run_nodes as nodes where nodes.run_id = $1 and is_mart order by name
    loop
        if to_regclass(format('published.%I', mart)) is null then
            perform ops.create_published(mart);
        end if;
        select string_agg(format('c.%I = p.%I', k, k), ' and ') into same_key
        from unnest(ops.key_of(format('published.%I', mart)::regclass)) as k;
        condition := ops.run_condition($1, mart);
        perform ops.apply_changes(
            id, mart, format('candidate.%I', mart), condition,
            format('%s and not exists (select from candidate.%I as c where %s)', condition, mart, same_key)
        );
        if ops.rows_digest(format('published.%I', mart)::regclass, condition)
            is distinct from audited ->> mart
        then
            raise 'The mart % would not hold the rows that were audited.', mart
            using errcode = 'AWNET';
        end if;
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
