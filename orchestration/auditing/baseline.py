"""What is usual: the run-time parameters of the suites, taken from the published marts.

A suite names them where it wants them, as Great Expectations spells it:
`{"$PARAMETER": "1 - usual_null_share_aircraft_id - 0.05"}`. There are

- `usual_null_share_<column>`: nulls in the column, from 0 to 1,
- `usual_median_<column>`: its median,
- `usual_shares_<column>`: its values and their shares, for a divergence.

Usual are the published rows of the rebuilt dates and the eight weeks before them; of all dates
where a mart has no partitions. Writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from orchestration import database, tables
from orchestration.auditing.marts import Mart
from orchestration.errors import UsageError
from orchestration.runs import Run

_DAYS = 56
_NAME = re.compile(r"[a-z]\w*", re.IGNORECASE)
_KINDS = {
    "usual_null_share_": "avg(({0} is null)::integer)::float",
    "usual_median_": "(percentile_cont(0.5) within group (order by {0}))::float",
    "usual_shares_": "(select case when count(*) > 0 then jsonb_build_object("
    "'values', jsonb_agg(value order by value), 'weights', jsonb_agg(share order by value)) end"
    " from (select {0} as value, count(*)::float / sum(count(*)) over () as share"
    " from {1} where {0} is not null and ({2}) group by {0}) as shares)",
}


def names(value: Any) -> Iterator[str]:
    """The parameters that (a part of) a suite asks for."""
    if isinstance(value, Mapping):
        if "$PARAMETER" in value:
            yield from _NAME.findall(str(value["$PARAMETER"]))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from names(each)


def parameters(
    connection: database.Connection, run: Run, mart: Mart, wanted: set[str]
) -> dict[str, Any]:
    """The wanted parameters that have a value: none where one side of the comparison has no row.

    Raises:
        UsageError: a suite asks for a parameter that there is not.
    """
    columns = tables.columns_of(connection, "published", mart.name)
    measures = [_measure(mart, name) for name in sorted(wanted)]
    if not wanted or not columns or not _has_rows(connection, mart):
        return {}
    found = connection.execute(
        "select ops.run_condition(%s, %s, %s)", [run.run_id, mart.name, _DAYS]
    ).fetchone()
    assert found
    relation, condition = database.relation("published", mart.name), sql.SQL(found[0])
    query = sql.SQL("select {} from {} where {}").format(
        sql.SQL(", ").join(
            sql.SQL(measure).format(sql.Identifier(column), relation, condition)
            + sql.SQL(" as {}").format(sql.Identifier(name))
            for name, column, measure in measures
            if column in columns
        ),
        relation,
        condition,
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        values = cursor.execute(query).fetchone() or {}
    return {name: value for name, value in values.items() if value is not None}


def _has_rows(connection: database.Connection, mart: Mart) -> bool:
    row = connection.execute(
        sql.SQL("select exists (select from {} where {})").format(
            database.relation("candidate", mart.name), sql.SQL(mart.condition)
        )
    ).fetchone()
    return bool(row and row[0])


def _measure(mart: Mart, name: str) -> tuple[str, str, str]:
    """The parameter with its column and its SQL."""
    for prefix, measure in _KINDS.items():
        if name.startswith(prefix):
            return name, name.removeprefix(prefix), measure
    raise UsageError(
        f"expectations/{mart.name}.json asks for the parameter {name}, which there is not.",
        kept="Nothing was judged or published.",
        todo=f"Use one of {', '.join(f'{kind}...' for kind in _KINDS)}",
    )
