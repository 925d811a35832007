-- Lineage tells of a run that it began and how it ended, once each: a run that the gate blocked may be
-- judged again, and is another one then. `until` of `run` counts its beginnings and ends.
alter table ops.lineage_told
    drop constraint lineage_told_what_check,
    add constraint lineage_told_what_check
    check (what in ('deliveries', 'build', 'gate', 'publish', 'end', 'run'));

insert into ops.lineage_told (what, id, until)
select
    'run',
    told.id,
    case when runs.state in ('published', 'blocked') then 2 else 1 end
from ops.lineage_told as told inner join ops.runs on runs.run_id = told.id
where told.what = 'build';
