-- Roles belong to the server, not to this database: another one may have made them already.
do $$
declare
    role text;
begin
    foreach role in array array['loader', 'transformer', 'auditor', 'publisher', 'reader'] loop
        begin
            execute format('create role %I nologin', 'airworthy_' || role);
        exception when duplicate_object or unique_violation then
            null;
        end;
        if not pg_has_role(current_user, 'airworthy_' || role, 'member') then
            execute format('grant %I to current_user', 'airworthy_' || role);
        end if;
    end loop;
end
$$;

-- Everybody who works on data may read the ledger; readers may not.
grant usage on schema ops
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
grant select on all tables in schema ops
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;
alter default privileges in schema ops grant select on tables
to airworthy_loader, airworthy_transformer, airworthy_auditor, airworthy_publisher;

-- Loader: writes raw and quarantine, adds to the log of deliveries, changes nothing in it.
grant usage, create on schema raw, quarantine to airworthy_loader;
grant insert on ops.deliveries, ops.audit_log to airworthy_loader;
grant usage on sequence ops.delivery_ids to airworthy_loader;

-- Transformer: reads raw, plans, builds its own schemas, leaves evidence.
grant usage on schema raw to airworthy_transformer;
grant insert, update on ops.runs to airworthy_transformer;
grant insert, update, delete on ops.run_nodes, ops.run_partitions, ops.build_results
to airworthy_transformer;
grant insert on ops.code_versions, ops.code_manifests to airworthy_transformer;
create schema if not exists staging;
create schema if not exists intermediate;
create schema if not exists seeds;

-- Auditor: reads what was built and what is published, and gives the verdict.
grant usage on schema candidate, published to airworthy_auditor;
grant insert, update, delete on ops.gate_results, ops.verdicts to airworthy_auditor;
grant update (state, finished_at) on ops.runs to airworthy_auditor;

-- Publisher: may call what publishes and rolls back, and lift a hold; no table of readers' itself.
grant update (lifted_by, lifted_at) on ops.holds to airworthy_publisher;
grant insert on ops.audit_log to airworthy_publisher;
revoke execute on function
ops.prepare_publication(bigint, uuid), ops.publish(bigint, uuid),
ops.roll_back(bigint, text, text)
from public;
grant execute on function
ops.prepare_publication(bigint, uuid), ops.publish(bigint, uuid),
ops.roll_back(bigint, text, text)
to airworthy_publisher;

-- Reader: sees what is published.
grant usage on schema published to airworthy_reader;

-- Tables made so far, and those to come.
do $$
declare
    made record;
begin
    for made in
        select nspname, relname, relkind from pg_class
        inner join pg_namespace on pg_class.relnamespace = pg_namespace.oid
        where
            nspname in ('raw', 'quarantine', 'staging', 'intermediate', 'seeds', 'candidate')
            and relkind in ('r', 'v')
    loop
        execute format(
            'alter %s %I.%I owner to %I',
            case made.relkind when 'v' then 'view' else 'table' end, made.nspname, made.relname,
            case when made.nspname in ('raw', 'quarantine')
                then 'airworthy_loader' else 'airworthy_transformer' end
        );
    end loop;
    execute format('grant create on database %I to airworthy_transformer', current_database());
end
$$;

alter schema staging owner to airworthy_transformer;
alter schema intermediate owner to airworthy_transformer;
alter schema seeds owner to airworthy_transformer;
alter schema candidate owner to airworthy_transformer;
grant usage on schema candidate to airworthy_auditor;

grant select on all tables in schema raw to airworthy_transformer;
alter default privileges for role airworthy_loader in schema raw
grant select on tables to airworthy_transformer;

grant select on all tables in schema candidate to airworthy_auditor;
alter default privileges for role airworthy_transformer in schema candidate
grant select on tables to airworthy_auditor;

grant select on all tables in schema published to airworthy_auditor, airworthy_reader;
alter default privileges in schema published
grant select on tables to airworthy_auditor, airworthy_reader;

-- Let the database count again where tables grew by a fifth since it last did; only their owner may.
create function ops.refresh_statistics() returns void
language plpgsql security definer set search_path = pg_catalog
as $$
declare
    grown regclass;
begin
    for grown in
        select pg_class.oid::regclass from pg_class inner join pg_namespace
        on pg_class.relnamespace = pg_namespace.oid
        where
            nspname in ('ops', 'raw') and relkind = 'r'
            and pg_relation_size(pg_class.oid)
            > 1.2 * greatest(relpages, 0) * current_setting('block_size')::integer
    loop
        execute format('analyze %s', grown);
    end loop;
end
$$;
