-- Raise unless the session's run is still the current one, and keep it so until the transaction ends:
-- the next plan waits for whoever is writing, and nobody of the old run writes after it.
create function ops.require_current_run() returns void
language plpgsql
as $$
begin
    perform from ops.runs
    where run_id = ops.run_id() and state in ('planned', 'built', 'passed', 'blocked')
    for share;
    if not found then
        raise 'Run % is no longer the current one; another was planned.', ops.run_id()
        using errcode = 'AWRUN';
    end if;
end
$$;

-- Raise unless this is the current run, with a passing verdict, planned on what is published now.
create or replace function ops.require_publishable(run_id bigint, token uuid) returns void
language plpgsql
as $$
declare
    state text;
    later bigint;
begin
    -- One publication or rollback at a time, whoever asks.
    lock table ops.publications in share row exclusive mode;
    select runs.state into state from ops.runs where runs.run_id = $1 and runs.token = $2 for update;
    if state is null or state in ('published', 'superseded', 'skipped') then
        raise 'Run % is %, not passed.', run_id, coalesce(state, 'unknown')
        using errcode = 'AWRUN';
    end if;
    if state <> 'passed' or not exists (
        select from ops.verdicts where verdicts.run_id = $1 and verdicts.passed
    ) then
        raise 'Run % has no passing verdict.', run_id using errcode = 'AWGAT';
    end if;
    -- It holds the differences from what was published before; a rollback took that away.
    select max(publication_id) into later from ops.publications where publications.run_id > $1;
    if later is not null then
        raise 'Run % was planned before publication %.', run_id, later using errcode = 'AWRUN';
    end if;
end
$$;
