-- A ledger as three years of daily runs leave it: two sources, three marts, a blocked run here and
-- there, a late and a missing day, rows held back.
insert into ops.deliveries (
    delivery_id, source, slice_date, uri, file_version, size_bytes, sha256, contract_version,
    outcome, rows_received, rows_loaded, rows_quarantined, started_at, recorded_at
)
select
    2 * n + (source = 'weather')::integer + 1,
    source,
    day,
    format('%s/%s', source, day),
    '1',
    1,
    encode(sha256(format('%s %s', source, day)::bytea), 'hex'),
    '1.0.0',
    'loaded',
    900,
    900 - held,
    held,
    day + 1,
    day + case n % 90 when 0 then interval '2 days' else interval '1 day' end
from
    generate_series(0, 1094) as n,
    lateral (select current_date - 1095 + n as day, (n % 50 = 0)::integer as held) as days,
    unnest(array['flights', 'weather']) as source
where n % 200 <> 199 or source = 'weather';

insert into ops.runs (
    kind, runner, requested_by, as_of, code_version, state, planned_at, finished_at
)
select
    'changes',
    'airflow',
    'tester',
    2 * n + 2,
    'code',
    case n % 25 when 24 then 'blocked' else 'published' end,
    current_date - 1094 + n,
    current_date - 1094 + n + interval '40 seconds'
from generate_series(0, 1094) as n;

insert into ops.verdicts (run_id, passed, candidate_digest, decided_at)
select run_id, state = 'published', '', finished_at from ops.runs;

insert into ops.run_nodes (
    run_id, unique_id, resource_type, name, schema_name, is_mart, owner, budget_seconds
)
select run_id, 'model.' || mart, 'model', mart, 'candidate', true, 'team', 30
from ops.runs, unnest(array['fct_flights', 'agg_airlines_daily', 'dim_airlines']) as mart;

insert into ops.build_results (run_id, unique_id, status, seconds)
select run_id, unique_id, 'success', 1 + run_id % 7 from ops.run_nodes;

insert into ops.gate_results (run_id, kind, subject, check_name, severity, passed)
select nodes.run_id, 'expectation', nodes.name, 'check ' || n, 'critical', n > 0 or runs.state = 'published'
from ops.run_nodes as nodes inner join ops.runs using (run_id), generate_series(0, 4) as n;

insert into ops.publications (run_id, base_run_id, as_of, code_version, published_by, published_at)
select run_id, run_id, as_of, code_version, requested_by, finished_at
from ops.runs where state = 'published' order by run_id;

insert into ops.publication_changes
select publication_id, name, 900, 20, 1, 900 * publication_id
from ops.publications inner join ops.run_nodes using (run_id);

create table published.fct_flights (flight_date date primary key);
create table published.agg_airlines_daily (flight_date date primary key);
create table published.dim_airlines (airline_id text primary key);

insert into ops.mart_descriptions
select 'code', mart, 'One row per test.', 'team', 'team@example.com', column_name, '[]', '{}', sources
from (
    values
    ('fct_flights', 'flight_date', array['flights', 'weather']),
    ('agg_airlines_daily', 'flight_date', array['flights']),
    ('dim_airlines', null, array[]::text[])
) as marts (mart, column_name, sources);

insert into ops.alerts (key, origin, severity, owner, what, since, impact, runbook, look)
values ('k', 'test', 'page', 'team', 'A mart <waits>', now(), '', '', 'make status');

insert into ops.holds (reason, set_by) values ('last year looks odd', 'ada');

update ops.runs set state = 'blocked' where run_id = 1095;
