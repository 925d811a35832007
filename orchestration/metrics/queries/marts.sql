with counted as (
    select
        mart,
        sum(inserted) as inserted,
        sum(updated) as updated,
        sum(deleted) as deleted,
        (array_agg(rows_after order by publication_id desc))[1] as row_count
    from ops.publication_changes
    where to_regclass(format('published.%I', mart)) is not null
    group by mart
)

select
    mart,
    change,
    case when change = 'inserted' then row_count end as airworthy_published_rows,
    changed as airworthy_rows_published_total
from counted
cross join lateral (
    values ('inserted', inserted), ('updated', updated), ('deleted', deleted)
) as changes (change, changed)
