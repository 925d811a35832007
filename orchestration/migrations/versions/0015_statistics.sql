-- Let the database count again where a fifth of the rows is new since it last did; only their owner
-- may. A table's file tells too little: it grows by many pages at once, and then not for a while.
create or replace function ops.refresh_statistics() returns void
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
            and (
                pg_relation_size(pg_class.oid)
                > 1.2 * greatest(relpages, 0) * current_setting('block_size')::integer
                or pg_stat_get_mod_since_analyze(pg_class.oid) > 0.2 * greatest(reltuples, 0)
            )
    loop
        execute format('analyze %s', grown);
    end loop;
end
$$;
