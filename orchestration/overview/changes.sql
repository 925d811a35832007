with shown as (
    select publication_id, published_at, restores from ops.publications
    order by publication_id desc limit %(runs)s
)
select
    shown.publication_id,
    shown.published_at,
    shown.restores,
    changes.mart,
    changes.inserted,
    changes.updated,
    changes.deleted,
    changes.rows_after
from shown inner join ops.publication_changes as changes using (publication_id)
where inserted + updated + deleted > 0
order by shown.publication_id desc, changes.mart
