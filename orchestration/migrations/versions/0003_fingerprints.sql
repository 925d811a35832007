-- What decides each node's content, per version of the code. Equal fingerprints: nothing to rebuild.
create table ops.code_versions (
    code_version text not null,
    unique_id text not null,
    fingerprint text not null,
    parts jsonb not null, -- the digest of each ingredient by its name, to say what changed
    primary key (code_version, unique_id)
);

-- Skipped: the deliveries or the code are new, and no model can have changed by them.
alter table ops.runs
    add column build_started_at timestamptz,
    drop constraint runs_state_check,
    add constraint runs_state_check check (
        state in ('planned', 'built', 'passed', 'blocked', 'published', 'superseded', 'skipped')
    );

alter table ops.run_nodes
    add column is_full boolean not null default true, -- all its rows; else the run's partitions
    add column why text not null default '',
    add column selector text not null default '', -- how dbt is told to build this node
    add column budget_seconds numeric,
    add column budget_rows bigint;

alter table ops.run_partitions add column last_date date;
update ops.run_partitions set last_date = partition_date;
alter table ops.run_partitions alter column last_date set not null;

-- The dates of a run's partitions of one model as ranges without gaps, both ends included; with
-- `days_before`, also the days before each partition that the model reads.
create function ops.run_ranges(run_id bigint, model text, days_before integer)
returns table (first_date date, last_date date)
language sql stable
as $$
    select lower(ranges), (upper(ranges) - 1)
    from (
        select unnest(range_agg(
            daterange(partitions.partition_date - $3, partitions.last_date, '[]')
        )) as ranges
        from ops.run_partitions as partitions
        where partitions.run_id = $1 and partitions.model = $2
    ) as merged
    order by 1
$$;

-- dbt's manifest of each version of the code, gzipped: what `dbt --state` compares with.
create table ops.code_manifests (
    code_version text primary key,
    manifest bytea not null
);

-- What took longer, or held more rows, than its budget allows. Warned about, never in the way.
create view ops.budget_breaches as
select
    run_id,
    nodes.name,
    results.seconds,
    nodes.budget_seconds,
    results.rows_affected,
    nodes.budget_rows
from ops.run_nodes as nodes
inner join ops.build_results as results using (run_id, unique_id)
where
    results.seconds > nodes.budget_seconds
    or results.rows_affected > nodes.budget_rows;

-- Raw rows are found by date as well; tables made from now on have this index from the start.
do $$
declare
    source name;
begin
    for source in
        select relname from pg_class where relnamespace = 'raw'::regnamespace and relkind = 'r'
    loop
        execute 'create index on raw.' || quote_ident(source) || ' using brin'
            || ' (_delivery_id, _slice_date) with (pages_per_range = 8, autosummarize = on)';
    end loop;
end
$$;
