-- Have current statistics of a table that the current transaction wrote, before anything reads it: what
-- was never counted is taken for a few rows, and joined row by row. Counting again costs the same for
-- any size beyond a sample, so it waits for a hundredth of the rows to have changed.
create function ops.analyze_if_changed(relation regclass) returns void
language plpgsql set search_path = pg_catalog
as $$
begin
    if (
        select
            reltuples < 0
            or coalesce(pg_stat_get_mod_since_analyze(relation), 0)
            + coalesce(pg_stat_get_xact_tuples_inserted(relation), 0)
            + coalesce(pg_stat_get_xact_tuples_updated(relation), 0)
            + coalesce(pg_stat_get_xact_tuples_deleted(relation), 0)
            >= reltuples / 100
        from pg_class where oid = relation
    ) then
        execute format('analyze %s', relation);
    end if;
end
$$;
