select state, count(chunks.number) as airworthy_backfill_chunks
from (
    values ('waiting'), ('passed'), ('blocked'), ('published'), ('empty')
) as states (state)
left join (
    select chunks.* from ops.backfill_chunk_states as chunks
    inner join ops.backfills using (backfill_id)
    where backfills.state in ('running', 'paused')
) as chunks using (state)
group by state
