-- What the code says about each mart: the half of the catalogue that is not in the data.
create table ops.mart_descriptions (
    code_version text not null,
    mart text not null,
    description text not null,
    owner text,
    contact text,
    partition_column text,
    columns jsonb not null, -- [{name, type, description}]
    parents text[] not null, -- the models and seeds that it reads itself
    sources text[] not null, -- the sources at the far end
    primary key (code_version, mart)
);
comment on table ops.mart_descriptions is 'What each version of the code says about its marts.';

grant select on ops.mart_descriptions
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
grant insert on ops.mart_descriptions to airworthy_transformer;

-- How the gate judged a mart in the last runs that it was part of, the newest first.
create function ops.quality_of(mart text, runs_shown integer)
returns table (
    run_id bigint, decided_at timestamptz, is_passed boolean, checks bigint, checks_passed bigint,
    warnings bigint
)
language sql stable
as $$
    select
        verdicts.run_id,
        verdicts.decided_at,
        bool_and(results.passed or results.severity = 'warning'),
        count(*),
        count(*) filter (where results.passed),
        count(*) filter (where not results.passed and results.severity = 'warning')
    from ops.gate_results as results
    inner join ops.verdicts using (run_id)
    where
        results.subject = $1
        and results.run_id in (
            select nodes.run_id from ops.run_nodes as nodes inner join ops.verdicts using (run_id)
            where nodes.name = $1 and nodes.is_mart
            order by nodes.run_id desc limit $2
        )
    group by verdicts.run_id, verdicts.decided_at
    order by verdicts.run_id desc
$$;
create index gate_results_subjects on ops.gate_results (subject, run_id);
create index run_nodes_marts on ops.run_nodes (name, run_id) where is_mart;
create index publication_changes_marts on ops.publication_changes (mart, publication_id);

-- The newest date in a published mart; null where it has no dates.
create function ops.newest_date_of(mart text, partition_column text) returns date
language plpgsql stable
as $$
declare
    found date;
begin
    if $2 is not null then
        execute format('select max(%I) from published.%I', $2, $1) into found;
    end if;
    return found;
end
$$;

-- All that people may know about the published marts, as of the publication that they see: it is
-- computed when asked for, so it changes in the transaction that publishes or rolls back.
create function ops.catalogue()
returns table (
    mart text, description text, owner text, contact text, columns jsonb, parents text[],
    sources text[], row_count bigint, newest_date date, publication_id bigint,
    published_at timestamptz, changed_in bigint, changed_at timestamptz, deliveries jsonb,
    checks bigint, checks_passed bigint, quality_history jsonb
)
language sql stable security definer set search_path = pg_catalog
as $$
    with latest as (
        select publication_id, published_at
        from ops.publications order by publication_id desc limit 1
    ),
    inputs as (
        select as_of, code_version from latest inner join ops.publication_inputs using (publication_id)
    ),
    described as (
        select distinct on (descriptions.mart) descriptions.*
        from inputs inner join ops.mart_descriptions as descriptions using (code_version)
        order by descriptions.mart, inputs.as_of desc
    ),
    active as (
        select
            slices.source,
            max(slices.slice_date) as newest_slice,
            max(slices.delivery_id) as newest_delivery,
            max(deliveries.recorded_at) as received_at,
            count(*) as slices
        from ops.active_deliveries_as_of((select max(as_of) from inputs)) as slices
        inner join ops.deliveries using (delivery_id)
        group by slices.source
    )
    select
        described.mart,
        described.description,
        described.owner,
        described.contact,
        described.columns,
        described.parents,
        described.sources,
        counted.rows_after,
        ops.newest_date_of(described.mart, described.partition_column),
        latest.publication_id,
        latest.published_at,
        changed.publication_id,
        changed.published_at,
        coalesce(origin.deliveries, '[]'),
        coalesce(quality.checks, 0),
        coalesce(quality.checks_passed, 0),
        coalesce(quality.history, '[]')
    from described
    cross join latest
    inner join lateral (
        select rows_after from ops.publication_changes
        where publication_changes.mart = described.mart order by publication_id desc limit 1
    ) as counted on to_regclass(format('published.%I', described.mart)) is not null
    left join lateral (
        select publications.publication_id, publications.published_at
        from ops.publication_changes inner join ops.publications using (publication_id)
        where
            publication_changes.mart = described.mart and inserted + updated + deleted > 0
        order by publications.publication_id desc limit 1
    ) as changed on true
    left join lateral (
        select jsonb_agg(to_jsonb(active) order by active.source) as deliveries
        from active where active.source = any (described.sources)
    ) as origin on true
    left join lateral (
        select
            sum(judged.checks)::bigint as checks,
            sum(judged.checks_passed)::bigint as checks_passed,
            jsonb_agg(to_jsonb(judged) order by judged.run_id desc) as history
        from ops.quality_of(described.mart, 20) as judged
    ) as quality on true
$$;

-- Readers see this, and nothing else of the ledger.
revoke execute on function ops.catalogue() from public;
grant execute on function ops.catalogue()
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher,
airworthy_reader;

create view published._catalog as
select * from ops.catalogue();
grant select on published._catalog to airworthy_reader, airworthy_auditor;

comment on view published._catalog is
'One row per published mart: whose it is, what it holds, how fresh it is and how it was checked.';
comment on column published._catalog.owner is 'The group that answers for the mart.';
comment on column published._catalog.columns is 'Name, type and description of each column.';
comment on column published._catalog.parents is 'The models and seeds that it is made of.';
comment on column published._catalog.sources is 'The sources that its rows come from.';
comment on column published._catalog.newest_date is 'The newest date that it holds rows of.';
comment on column published._catalog.publication_id is 'The publication that readers see.';
comment on column published._catalog.changed_in is 'The last publication that changed its rows.';
comment on column published._catalog.deliveries is
'Per source: newest slice, newest delivery, when it was received, how many slices.';
comment on column published._catalog.checks is 'Checks of the gate in the last 20 runs of the mart.';
comment on column published._catalog.quality_history is 'Those runs, the newest first.';
