create schema raw;
create schema quarantine;
create schema candidate;
create schema published;
create schema history;

-- Step ingest -------------------------------------------------------------------------------------

-- Append-only: one row per landed file that was looked at. `uri` is the path below LANDING_URL.
create table ops.deliveries (
    delivery_id bigint primary key,
    source text not null,
    slice_date date,
    uri text not null,
    file_version text not null, -- what the file system says to tell one content from the next
    size_bytes bigint not null,
    sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
    contract_version text,
    outcome text not null check (outcome in ('loaded', 'rejected', 'duplicate')),
    reason text,
    duplicate_of bigint references ops.deliveries,
    rows_received bigint not null default 0,
    rows_loaded bigint not null default 0,
    rows_quarantined bigint not null default 0,
    started_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    constraint no_row_is_lost check (rows_received = rows_loaded + rows_quarantined),
    constraint a_refusal_has_a_reason check (outcome = 'loaded' or reason is not null),
    constraint a_loaded_file_has_a_slice check (
        outcome <> 'loaded' or (slice_date is not null and contract_version is not null)
    )
);

create sequence ops.delivery_ids owned by ops.deliveries.delivery_id;
-- Exactly once, for ever, by content.
create unique index deliveries_loaded_once on ops.deliveries (source, sha256)
where outcome = 'loaded';
create unique index deliveries_looked_at_once on ops.deliveries (uri, file_version);
create index deliveries_slices on ops.deliveries (source, slice_date, delivery_id)
where outcome = 'loaded';

-- Step plan ---------------------------------------------------------------------------------------

create table ops.runs (
    run_id bigint generated always as identity primary key,
    token uuid not null unique default gen_random_uuid(),
    kind text not null check (kind in ('changes', 'code', 'first')),
    runner text not null,
    requested_by text not null,
    as_of bigint not null,
    code_version text not null,
    state text not null default 'planned'
    check (state in ('planned', 'built', 'passed', 'blocked', 'published', 'superseded')),
    planned_at timestamptz not null default now(),
    finished_at timestamptz
);

-- What this run must build and test: the gate wants evidence for each.
create table ops.run_nodes (
    run_id bigint not null references ops.runs on delete cascade,
    unique_id text not null,
    resource_type text not null,
    name text not null,
    schema_name text,
    is_mart boolean not null,
    partition_column text, -- null: the mart is rebuilt and compared as a whole
    owner text,
    primary key (run_id, unique_id)
);

-- Which partitions of which model this run rebuilds, compares and publishes.
create table ops.run_partitions (
    run_id bigint not null references ops.runs on delete cascade,
    model text not null,
    partition_date date not null,
    primary key (run_id, model, partition_date)
);

-- Step build --------------------------------------------------------------------------------------

create table ops.build_results (
    run_id bigint not null references ops.runs on delete cascade,
    unique_id text not null,
    status text not null,
    rows_affected bigint,
    failures bigint,
    seconds numeric(12, 3),
    message text,
    recorded_at timestamptz not null default now(),
    primary key (run_id, unique_id)
);

-- Step gate ---------------------------------------------------------------------------------------

create table ops.gate_results (
    run_id bigint not null references ops.runs on delete cascade,
    check_id bigint generated always as identity primary key,
    kind text not null check (kind in ('evidence', 'expectation')),
    subject text not null, -- the mart, or the dbt node
    check_name text not null,
    severity text not null check (severity in ('critical', 'warning')),
    passed boolean not null,
    observed text,
    expected text,
    failing_rows bigint,
    samples jsonb not null default '[]',
    note text
);

-- One verdict per run, for exactly the candidate rows whose digest it names.
create table ops.verdicts (
    run_id bigint primary key references ops.runs,
    passed boolean not null,
    candidate_digest text not null,
    decided_at timestamptz not null default now(),
    unique (run_id, passed)
);

-- Step publish ------------------------------------------------------------------------------------

create table ops.publications (
    publication_id bigint generated always as identity primary key,
    run_id bigint not null unique references ops.runs,
    passed boolean not null default true check (passed),
    as_of bigint not null,
    code_version text not null,
    published_by text not null,
    published_at timestamptz not null default clock_timestamp(),
    -- No publication without a passing verdict, whoever writes it.
    foreign key (run_id, passed) references ops.verdicts (run_id, passed)
);

create table ops.publication_changes (
    publication_id bigint not null references ops.publications,
    mart text not null,
    inserted bigint not null,
    updated bigint not null,
    deleted bigint not null,
    rows_after bigint not null,
    primary key (publication_id, mart)
);

-- What a session sees -----------------------------------------------------------------------------

-- The run this session builds for; null outside a run.
create function ops.run_id() returns bigint
language sql stable
as $$ select nullif(current_setting('airworthy.run_id', true), '')::bigint $$;

-- The newest delivery this session may read: pinned inside a run, the live head outside.
create function ops.as_of() returns bigint
language sql stable
as $$
    select case
        when ops.run_id() is null then 9223372036854775807
        else (select runs.as_of from ops.runs where runs.run_id = ops.run_id())
    end
$$;

-- The active delivery of each slice as of N.
create function ops.active_deliveries_as_of(as_of bigint)
returns table (source text, slice_date date, delivery_id bigint)
language sql stable
as $$
    select distinct on (deliveries.source, deliveries.slice_date)
        deliveries.source,
        deliveries.slice_date,
        deliveries.delivery_id
    from ops.deliveries
    where deliveries.outcome = 'loaded' and deliveries.delivery_id <= $1
    order by deliveries.source, deliveries.slice_date, deliveries.delivery_id desc
$$;

create view ops.active_deliveries as
select active.source, active.slice_date, active.delivery_id
from ops.active_deliveries_as_of(ops.as_of()) as active;

comment on schema raw is 'Rows as delivered, typed, kept per delivery. Written by ingest.';
comment on schema quarantine is 'Rows that broke a contract: text and reasons. Written by ingest.';
comment on schema candidate is 'Marts as built by dbt, not audited yet. Not for readers.';
comment on schema published is 'Audited marts, all of one publication. For readers.';
comment on schema history is 'Pre-images of published rows, per publication. For rollback.';
comment on schema ops is 'The ledger: deliveries, runs, evidence, verdicts, publications.';
