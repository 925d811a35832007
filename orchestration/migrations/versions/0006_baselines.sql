-- A condition on the rows of a mart that a run rebuilt; with `days_before`, also on those before.
drop function ops.run_condition(bigint, text);
create function ops.run_condition(run_id bigint, mart text, days_before integer default 0)
returns text
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
                from ops.run_ranges($1, $2, $3)
            ), 'false'
        )
    end
    from ops.run_nodes as nodes
    where nodes.run_id = $1 and nodes.name = $2 and nodes.is_mart
$$;

-- Each partition that this session's run rebuilt of a mart: its rows in the candidate, and how many
-- are usual: the median of those published one to eight steps before, where at least four are.
create function ops.volumes(mart text, step interval)
returns table (partition_date date, found_rows bigint, usual_rows numeric)
language plpgsql stable
as $$
declare
    run bigint := current_setting('airworthy.run_id')::bigint;
    condition text := ops.run_condition(run, mart);
    col text;
begin
    select partition_column into strict col from ops.run_nodes as nodes
    where nodes.run_id = run and nodes.name = mart and nodes.is_mart;
    if to_regclass(format('published.%I', mart)) is null then
        return;
    end if;
    return query execute format(
        $sql$
            with found as (
                select %1$I as day, count(*) as row_count from candidate.%2$I where %3$s group by 1
            ),
            rebuilt as (
                select partition_date as day from ops.run_partitions
                where run_id = %4$s and model = %2$L
                union
                select distinct %1$I from published.%2$I where %3$L = 'true'
                union
                select day from found
            ),
            compared as (
                select day, (day - n * %5$L::interval)::date as earlier
                from rebuilt cross join generate_series(1, 8) as n
            ),
            published as (
                select %1$I as earlier, count(*) as row_count from published.%2$I
                where %1$I in (select earlier from compared) group by 1
            )
            select
                compared.day,
                coalesce(max(found.row_count), 0),
                (percentile_cont(0.5) within group (order by published.row_count))::numeric
            from compared
            inner join published using (earlier)
            left join found using (day)
            group by compared.day
            having count(*) >= 4
            order by compared.day
        $sql$, col, mart, condition, run, step
    );
end
$$;

-- The slices of a source that this session's run should have built into a mart of daily partitions,
-- and of which the candidate holds no row.
create function ops.missing_slices(mart text, source text)
returns table (slice_date date, delivery_id bigint)
language plpgsql stable
as $$
declare
    run bigint := current_setting('airworthy.run_id')::bigint;
    node record;
begin
    select nodes.partition_column, nodes.is_full, runs.as_of into strict node
    from ops.run_nodes as nodes inner join ops.runs as runs using (run_id)
    where nodes.run_id = run and nodes.name = mart and nodes.is_mart;
    return query execute format(
        $sql$
            select active.slice_date, active.delivery_id
            from ops.active_deliveries_as_of(%s) as active
            inner join ops.deliveries using (delivery_id)
            where
                active.source = %L and deliveries.rows_loaded > 0
                and (
                    %L or active.slice_date in (
                        select partition_date from ops.run_partitions
                        where run_id = %s and model = %L
                    )
                )
                and not exists (select from candidate.%I as m where m.%I = active.slice_date)
            order by 1
        $sql$, node.as_of, source, node.is_full, run, mart, mart, node.partition_column
    );
end
$$;

-- One digest over all candidate rows that a run rebuilt, metadata columns included. It is compared
-- within one database and taken twice per publication, so rows are hashed as they are: in a sixth
-- of the time that their text takes. Types without a hash function are hashed as text.
create or replace function ops.candidate_digest(run_id bigint) returns text
language plpgsql stable
as $$
declare
    mart text;
    columns text;
    found text;
    said text := '';
begin
    for mart in
        select name from ops.run_nodes as nodes
        where nodes.run_id = $1 and is_mart order by name
    loop
        select string_agg(
            quote_ident(attname) || case
                when typcategory in ('A', 'E') or exists (
                    select from pg_catalog.pg_opclass
                    inner join pg_catalog.pg_am on pg_am.oid = opcmethod and amname = 'hash'
                    where opcdefault and (opcintype = atttypid or opcintype = typbasetype)
                ) then '' else '::text'
            end, ', ' order by attname collate "C"
        ) into columns
        from pg_catalog.pg_attribute inner join pg_catalog.pg_type on pg_type.oid = atttypid
        where
            attrelid = format('candidate.%I', mart)::regclass and attnum > 0 and not attisdropped;
        execute format(
            'select concat_ws('' '', %L, count(*), sum(hash_record_extended(row(%s), 0)),'
            ' sum(hash_record_extended(row(%s), 1))) from candidate.%I where %s',
            columns, columns, columns, mart, ops.run_condition($1, mart)
        ) into found;
        said := said || concat_ws(' ', mart, found) || chr(10);
    end loop;
    return substr(encode(sha256(convert_to(said, 'UTF8')), 'hex'), 1, 32);
end
$$;
