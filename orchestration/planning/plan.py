"""Step plan: decide what one run builds, and pin its inputs.

Reads the ledger, the code and dbt's manifest; writes `ops.runs`, `ops.run_nodes`,
`ops.run_partitions` and `ops.code_versions` in one transaction. Killed: there is no run, or a
whole one that the next plan supersedes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestration import database
from orchestration.building import state
from orchestration.planning import (
    changes,
    code_changes,
    fingerprints,
    graph,
    leftovers,
    reach,
    standing,
)
from orchestration.planning.fingerprints import Fingerprint
from orchestration.planning.reach import Changes, Work
from orchestration.planning.standing import Standing
from orchestration.runs import Run
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


@dataclass(frozen=True)
class Reason:
    """Between which states of ledger and code something changed.

    Attributes:
        as_of: the newest delivery the run may read.
    """

    as_of: int
    code_version: str
    published: Standing = field(default_factory=Standing)


@dataclass(frozen=True)
class Plan:
    """A planned run, and what it does about every node; no run if it would do nothing.

    Attributes:
        reshaped: marts whose readers may have to wait for a moment when it is published.
        leftovers: a sentence on each relation that no model makes any more and that stays.
    """

    run: Run | None
    works: list[Work]
    changes: Changes
    reshaped: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


def due(settings: Settings, connection: database.Connection) -> Reason | None:
    """Why a run is due; None when nothing was delivered or changed since the last one."""
    as_of = newest_delivery(connection)
    if as_of == 0:
        return None
    version = fingerprints.code_version(settings.project)
    # While publishing is held, a run that passed is as far as one can come. What a backfill
    # published is not all that was new, unless it stands for itself and for what is below it.
    last = connection.execute(
        "select coalesce(publications.as_of, runs.as_of),"
        " coalesce(publications.code_version, runs.code_version),"
        " state in ('published', 'skipped') or state = 'passed' and runs.backfill_id is null and"
        " exists (select from ops.holds where lifted_at is null),"
        " coalesce((select bool_and(layer.as_of = publications.as_of"
        " and layer.code_version = publications.code_version)"
        " from ops.runs as layer where layer.run_id = any(layers)), true)"
        " from ops.runs left join ops.publications using (run_id)"
        " where state in ('published', 'skipped') or build_started_at is not null"
        " order by run_id desc limit 1"
    ).fetchone()
    if last == (as_of, version, True, True):
        return None
    return Reason(as_of, version, standing.read(connection))


def newest_delivery(connection: database.Connection) -> int:
    """The newest delivery that a run could read; zero if there is none."""
    row = connection.execute(
        "select coalesce(max(delivery_id), 0) from ops.deliveries"
        " where outcome in ('loaded', 'withdrawn')"
    ).fetchone()
    return int((row or [0])[0])


@database.acts_as("transformer")
def plan(
    settings: Settings, connection: database.Connection, reason: Reason, manifest: Manifest
) -> Plan:
    """Record a run for `reason` and supersede every unfinished one.

    Nothing to build: the run is recorded as skipped, so that the next plan need not look again.
    """
    known = graph.read(manifest, settings.project, connection)
    # Autovacuum does so within a minute or two, which is too late for what was just loaded: taken
    # for one delivery, a year of them is read row by row.
    connection.execute("select pg_stat_force_next_flush()")  # what this session loaded
    connection.execute("select ops.refresh_statistics()")
    with connection.transaction():
        # First of all: what an abandoned build is writing now must be seen as unpublished below.
        supersede(connection)
        left = leftovers.remove(connection, known)
        now = fingerprints_of(settings, connection, reason.code_version, manifest)
        changed = changes.since(connection, reason.published, reason.as_of, known, now)
        works = reach.decide(known, changed)
        kind = "code" if changed.rewritten else "changes"
        run = record(
            settings, connection, reason, works, kind if reason.published.run_id else "first"
        )
        reshaped: tuple[str, ...] = ()
        if changed.rewritten:
            reshaped = code_changes.reshaped(connection, reason.published, now, works)
    return Plan(run, works, changed, reshaped, tuple(left))


def supersede(connection: database.Connection) -> None:
    """End every unfinished run; waits for the model that one of them is writing."""
    connection.execute(
        "update ops.runs set state = 'superseded', finished_at = now()"
        " where state in ('planned', 'built', 'passed')"
    )


def fingerprints_of(
    settings: Settings, connection: database.Connection, version: str, manifest: Manifest
) -> dict[str, Fingerprint]:
    """The fingerprints of the code `version`, which is the one that is there; kept from now on."""
    now = fingerprints.recall(connection, version)
    if not now:
        now = fingerprints.compute(manifest, settings.project)
        fingerprints.remember(connection, version, now)
        state.remember(connection, version, manifest)
    return now


def record(
    settings: Settings,
    connection: database.Connection,
    reason: Reason,
    works: list[Work],
    kind: str,
) -> Run | None:
    """A run that does `works`; None, and a note in the ledger, if that is nothing."""
    selected = [work for work in works if work.is_selected]
    row = connection.execute(
        "insert into ops.runs (kind, runner, requested_by, as_of, code_version)"
        " values (%s, %s, %s, %s, %s) returning run_id, token, kind, as_of, code_version",
        [kind, settings.runner, settings.requested_by, reason.as_of, reason.code_version],
    ).fetchone()
    assert row is not None
    run = Run(*row)
    if not selected:
        run.advance(connection, "skipped")
        return None
    _record_nodes(connection, run, selected)
    _record_partitions(connection, run, works)
    return run


def _record_nodes(connection: database.Connection, run: Run, works: Iterable[Work]) -> None:
    columns = (
        "run_id, unique_id, resource_type, name, schema_name, is_mart, partition_column, owner,"
        " is_full, why, selector, budget_seconds, budget_rows"
    )
    with connection.cursor().copy(f"copy ops.run_nodes ({columns}) from stdin") as copy:
        for work in works:
            node = work.node
            column = node.partitioning.column if node.partitioning else None
            copy.write_row(
                (
                    run.run_id, node.unique_id, node.kind, node.name, node.schema, node.is_mart,
                    column, node.owner, work.is_full, work.why, node.selector,
                    node.budget_seconds, node.budget_rows,
                )
            )  # fmt: skip


def _record_partitions(connection: database.Connection, run: Run, works: Iterable[Work]) -> None:
    columns = "run_id, model, partition_date, last_date"
    with connection.cursor().copy(f"copy ops.run_partitions ({columns}) from stdin") as copy:
        for work in works:
            if not (work.node.partitioning and not work.is_full):
                continue
            for first in sorted(work.partitions):
                last = work.node.partitioning.last_date(first)
                copy.write_row((run.run_id, work.node.name, first, last))
