"""What a build left behind, and whether it is whole: what was planned ran, and nothing else did.

Reads `ops.run_nodes`, `ops.build_results` and PostgreSQL's catalogue; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestration import database
from orchestration.auditing.checks import Check
from orchestration.runs import Run


def of_run(connection: database.Connection, run: Run) -> Iterator[Check]:
    """A check for each node that was planned or ran, and for each that has partitions."""
    yield from _ran(connection, run)
    yield from _partitioned(connection, run)


def _ran(connection: database.Connection, run: Run) -> Iterator[Check]:
    rows = connection.execute(
        "select coalesce(nodes.name, unique_id), coalesce(nodes.resource_type, 'node'),"
        " nodes.run_id is not null, results.status, results.failures, results.message"
        " from (select * from ops.run_nodes where run_id = %(run)s) as nodes"
        " full join (select * from ops.build_results where run_id = %(run)s) as results"
        " using (unique_id) order by 1",
        {"run": run.run_id},
    ).fetchall()
    if not any(was_planned for _, _, was_planned, *_ in rows):
        yield Check("evidence", "dbt", "nodes", "critical", False, "none", "at least one")
    for name, kind, was_planned, status, failures, message in rows:
        if not was_planned:
            yield Check(
                "evidence", name, "is planned", "critical", False, f"it ran unasked: {status}",
                "only what the plan selected",
            )  # fmt: skip
            continue
        severity = "warning" if status == "warn" else "critical"
        passed = status in ("success", "pass")
        yield Check(
            "evidence", name, f"{kind} ran", severity, passed, status or "no result",
            "success or pass", failures, note="" if passed else (message or ""),
        )  # fmt: skip


def _partitioned(connection: database.Connection, run: Run) -> Iterator[Check]:
    """Each partition column that a run relies on is there, and a date."""
    rows = connection.execute(
        "select nodes.name, partition_column, format_type(atttypid, atttypmod)"
        " from ops.run_nodes as nodes"
        " inner join pg_class on relname = nodes.name"
        " inner join pg_namespace on pg_namespace.oid = relnamespace and nspname = schema_name"
        " left join pg_attribute on attrelid = pg_class.oid and attname = partition_column"
        " and not attisdropped"
        " where run_id = %s and partition_column is not null order by 1",
        [run.run_id],
    )
    for name, column, kind in rows:
        if kind != "date":
            yield Check(
                "evidence", name, f"partition_column {column} is a date", "critical", False,
                kind or "no such column", "date",
            )  # fmt: skip
