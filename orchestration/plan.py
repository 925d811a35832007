"""Step plan: decide what one run builds, and pin its inputs.

Reads the ledger, the code and dbt's manifest; writes `ops.runs`, `ops.run_nodes` and
`ops.run_partitions` in one transaction. Killed: there is no run, or a whole one that the next
plan supersedes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orchestration import database
from orchestration.errors import AirworthyError
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_CODE = ("models", "macros", "seeds", "tests/data_tests", "expectations")
Dates = set[date]


@dataclass(frozen=True)
class Reason:
    """Why a run is due, and from which state of the ledger.

    Attributes:
        kind: first (nothing is published yet), code (it changed) or changes (deliveries did).
        as_of: the newest delivery the run may read.
        changed: the dates whose active delivery changed, by source.
        pending: the partitions that earlier runs rebuilt and did not publish, by model.
    """

    kind: str
    as_of: int
    code_version: str
    changed: dict[str, Dates]
    pending: dict[str, Dates]


@dataclass(frozen=True)
class Run:
    """One planned run: the handle that every later step needs."""

    run_id: int
    token: UUID
    kind: str
    as_of: int
    code_version: str

    @property
    def is_full(self) -> bool:
        return self.kind != "changes"

    def require(self, connection: database.Connection, *states: str) -> None:
        """Raise unless this run is still the current one and in one of `states`."""
        query = "select state from ops.runs where run_id = %s and token = %s"
        row = connection.execute(query, [self.run_id, self.token]).fetchone()
        if row is None or row[0] not in states:
            raise AirworthyError(
                f"Run {self.run_id} is {row[0] if row else 'unknown'}, not {' or '.join(states)}.",
                kept="Nothing was changed.",
                todo="Run `make run`; it plans anew from what is there.",
            )

    def advance(self, connection: database.Connection, state: str) -> None:
        """Note that the run reached `state`; a superseded run can reach none."""
        done = connection.execute(
            "update ops.runs set state = %s,"
            " finished_at = case when %s in ('blocked', 'published') then now() end"
            " where run_id = %s and token = %s and state not in ('superseded', 'published')",
            [state, state, self.run_id, self.token],
        )
        if done.rowcount != 1:
            self.require(connection, "planned", "built", "passed", "blocked")


def due(settings: Settings, connection: database.Connection) -> Reason | None:
    """Why a run is due; None when nothing was delivered or changed since the last publication."""
    query = (
        "select coalesce(max(delivery_id), 0) from ops.deliveries"
        " where outcome in ('loaded', 'withdrawn')"
    )
    as_of = int((connection.execute(query).fetchone() or [0])[0])
    if as_of == 0:
        return None
    last = connection.execute(
        "select run_id, as_of, code_version from ops.publications"
        " order by publication_id desc limit 1"
    ).fetchone()
    code = code_version(settings)
    published_run, published_as_of, published_code = last or (0, 0, None)
    pending, pending_full = _pending(connection, published_run)
    kind = "first" if last is None else "changes"
    if last is not None and (code != published_code or pending_full):
        kind = "code"
    base = published_as_of if kind == "changes" else 0
    changed = _changed(connection, base, as_of, everything=kind != "changes")
    if kind == "changes" and not changed and not pending:
        return None
    return Reason(kind, as_of, code, changed, pending)


def plan(
    settings: Settings, connection: database.Connection, reason: Reason, manifest: Manifest
) -> Run:
    """Record a run for `reason` and supersede every unfinished one."""
    partitions = _partitions(manifest, reason)
    with connection.transaction():
        connection.execute(
            "update ops.runs set state = 'superseded', finished_at = now()"
            " where state in ('planned', 'built', 'passed')"
        )
        row = connection.execute(
            "insert into ops.runs (kind, runner, requested_by, as_of, code_version)"
            " values (%s, %s, %s, %s, %s) returning run_id, token",
            [reason.kind, settings.runner, settings.requested_by, reason.as_of,
             reason.code_version],
        ).fetchone()  # fmt: skip
        assert row is not None
        run = Run(row[0], row[1], reason.kind, reason.as_of, reason.code_version)
        _record_nodes(connection, run, manifest)
        with connection.cursor().copy(
            "copy ops.run_partitions (run_id, model, partition_date) from stdin"
        ) as copy:
            for model, dates in partitions.items():
                for day in sorted(dates):
                    copy.write_row((run.run_id, model, day))
    return run


def current(connection: database.Connection) -> Run:
    """The newest run that is not finished.

    Raises:
        AirworthyError: there is none.
    """
    row = connection.execute(
        "select run_id, token, kind, as_of, code_version from ops.runs"
        " where state in ('planned', 'built', 'passed') order by run_id desc limit 1"
    ).fetchone()
    if row is None:
        raise AirworthyError(
            "There is no unfinished run.",
            kept="Nothing was changed.",
            todo="Run `make plan` first, or `make run` for all steps.",
        )
    return Run(*row)


def code_version(settings: Settings) -> str:
    """A digest of everything that decides what the marts hold and how they are audited."""
    digest = hashlib.sha256()
    files = [settings.project / "dbt_project.yml"]
    for folder in _CODE:
        files += (settings.project / folder).rglob("*")
    for path in sorted(path for path in files if path.is_file()):
        digest.update(path.relative_to(settings.project).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _changed(
    connection: database.Connection, base: int, as_of: int, *, everything: bool
) -> dict[str, Dates]:
    """The dates that differ between two states of the ledger, by source; or all it ever had.

    All: a date that lost its rows must end empty. A changed snapshot reaches every date.
    """
    columns = "source, slice_date, slice_days"
    ever = connection.execute(
        f"select distinct {columns} from ops.deliveries"
        " where outcome = 'loaded' and delivery_id <= %s",
        [as_of],
    ).fetchall()
    differing = connection.execute(
        f"select distinct {columns} from ops.active_deliveries_as_of(%s) as before"
        " full join ops.active_deliveries_as_of(%s) as after"
        " using (source, slice_date, slice_hour, slice_days)"
        " where before.delivery_id is distinct from after.delivery_id",
        [base, as_of],
    ).fetchall()
    every_date = {date for _, day, days in ever for date in _dates(day, days)}
    changed: dict[str, Dates] = defaultdict(set)
    for source, day, days in ever if everything else differing:
        changed[source] |= _dates(day, days) if days else every_date
    return dict(changed)


def _dates(first: date, days: int) -> Dates:
    return {first + timedelta(n) for n in range(days)}


def _pending(connection: database.Connection, published_run: int) -> tuple[dict[str, Dates], bool]:
    """Partitions that runs since the last publication may have left changed in the candidate."""
    pending: dict[str, Dates] = defaultdict(set)
    rows = connection.execute(
        "select distinct model, partition_date from ops.run_partitions where run_id > %s",
        [published_run],
    )
    for model, day in rows:
        pending[model].add(day)
    query = "select count(*) from ops.runs where run_id > %s and kind <> 'changes'"
    full = connection.execute(query, [published_run]).fetchone()
    return dict(pending), bool(full and full[0])


def _partitions(manifest: Manifest, reason: Reason) -> dict[str, Dates]:
    """The partitions to rebuild per partitioned model, following changes down the graph."""
    reached: dict[str, Dates] = {
        source.unique_id: reason.changed.get(source.identifier, set())
        for source in manifest.sources.values()
    }
    partitions = {}
    for node in _in_order(manifest):
        dates = set().union(*(reached.get(up, set()) for up in node.depends_on.nodes))
        if node.config.meta.get("partition_column"):
            days_after = int(node.config.meta.get("days_after", 0))
            dates = {day + timedelta(n) for day in dates for n in range(days_after + 1)}
            dates |= reason.pending.get(node.name, set())
            partitions[node.name] = dates
        reached[node.unique_id] = dates
    return partitions


def _in_order(manifest: Manifest) -> list[Any]:
    """Models, parents first."""
    models: dict[str, Any] = {
        node.unique_id: node
        for node in manifest.nodes.values()
        if str(node.resource_type) == "model"
    }
    ordered: dict[str, Any] = {}

    def visit(unique_id: str) -> None:
        if unique_id in models and unique_id not in ordered:
            for parent in models[unique_id].depends_on.nodes:
                visit(parent)
            ordered[unique_id] = models[unique_id]

    for unique_id in sorted(models):
        visit(unique_id)
    return list(ordered.values())


def _record_nodes(connection: database.Connection, run: Run, manifest: Manifest) -> None:
    columns = (
        "run_id, unique_id, resource_type, name, schema_name, is_mart, partition_column, owner"
    )
    with connection.cursor().copy(f"copy ops.run_nodes ({columns}) from stdin") as copy:
        for node in manifest.nodes.values():
            if str(node.resource_type) not in ("model", "seed", "test"):
                continue
            if node.config.materialized == "ephemeral":
                continue
            meta: dict[str, Any] = node.config.meta if str(node.resource_type) == "model" else {}
            copy.write_row(
                (
                    run.run_id, node.unique_id, str(node.resource_type), node.name,
                    node.schema, node.config.schema == "candidate",
                    meta.get("partition_column"), meta.get("owner"),
                )
            )  # fmt: skip
