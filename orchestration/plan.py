"""Step plan: decide what one run builds, and pin its inputs.

Reads the ledger, the code and dbt's manifest; writes `ops.runs`, `ops.run_nodes`,
`ops.run_partitions` and `ops.code_versions` in one transaction. Killed: there is no run, or a
whole one that the next plan supersedes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from orchestration import database, fingerprints, graph, reach, state
from orchestration.graph import Dates, Graph
from orchestration.reach import Changes, Work
from orchestration.runs import Run
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


@dataclass(frozen=True)
class Reason:
    """Between which states of ledger and code something changed.

    Attributes:
        as_of: the newest delivery the run may read.
        published_run, published_as_of, published_code: of the last publication; zero or None
            before the first.
    """

    as_of: int
    code_version: str
    published_run: int = 0
    published_as_of: int = 0
    published_code: str | None = None


@dataclass(frozen=True)
class Plan:
    """A planned run, and what it does about every node; no run if it would do nothing."""

    run: Run | None
    works: list[Work]
    changes: Changes


def due(settings: Settings, connection: database.Connection) -> Reason | None:
    """Why a run is due; None when nothing was delivered or changed since the last one."""
    query = (
        "select coalesce(max(delivery_id), 0) from ops.deliveries"
        " where outcome in ('loaded', 'withdrawn')"
    )
    as_of = int((connection.execute(query).fetchone() or [0])[0])
    if as_of == 0:
        return None
    version = fingerprints.code_version(settings.project)
    # While publishing is held, a run that passed is as far as one can come.
    last = connection.execute(
        "select as_of, code_version, state in ('published', 'skipped') or state = 'passed' and"
        " exists (select from ops.holds where lifted_at is null)"
        " from ops.runs where state in ('published', 'skipped') or build_started_at is not null"
        " order by run_id desc limit 1"
    ).fetchone()
    if last == (as_of, version, True):
        return None
    published = connection.execute(
        "select base_run_id, as_of, code_version from ops.publications"
        " order by publication_id desc limit 1"
    ).fetchone()
    return Reason(as_of, version, *(published or ()))


@database.acts_as("transformer")
def plan(
    settings: Settings, connection: database.Connection, reason: Reason, manifest: Manifest
) -> Plan:
    """Record a run for `reason` and supersede every unfinished one.

    Nothing to build: the run is recorded as skipped, so that the next plan need not look again.
    """
    known = graph.read(manifest)
    # Autovacuum does so within a minute or two, which is too late for what was just loaded: taken
    # for one delivery, a year of them is read row by row.
    connection.execute("select ops.refresh_statistics()")
    with connection.transaction():
        # First of all: what an abandoned build is writing now must be seen as unpublished below.
        connection.execute(
            "update ops.runs set state = 'superseded', finished_at = now()"
            " where state in ('planned', 'built', 'passed')"
        )
        before = fingerprints.recall(connection, reason.published_code)
        now = fingerprints.recall(connection, reason.code_version)
        if not now:
            now = fingerprints.compute(manifest, settings.project)
            fingerprints.remember(connection, reason.code_version, now)
            state.remember(connection, reason.code_version, manifest)
        changes = _changes(connection, reason, _rewritten(connection, known, before, now))
        works = reach.decide(known, changes)
        run = _record(settings, connection, reason, works, changes)
    return Plan(run, works, changes)


def _record(
    settings: Settings,
    connection: database.Connection,
    reason: Reason,
    works: list[Work],
    changes: Changes,
) -> Run | None:
    selected = [work for work in works if work.is_selected]
    kind = "code" if changes.rewritten else "changes"
    row = connection.execute(
        "insert into ops.runs (kind, runner, requested_by, as_of, code_version)"
        " values (%s, %s, %s, %s, %s) returning run_id, token, kind, as_of, code_version",
        [kind if reason.published_run else "first", settings.runner, settings.requested_by,
         reason.as_of, reason.code_version],
    ).fetchone()  # fmt: skip
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


def _rewritten(
    connection: database.Connection,
    known: Graph,
    before: dict[str, fingerprints.Fingerprint],
    now: dict[str, fingerprints.Fingerprint],
) -> dict[str, str]:
    """Why nodes need all rows built: their code is not the published one, or they are lost."""
    there = {
        tuple(row)
        for row in connection.execute(
            "select nspname, relname from pg_class inner join pg_namespace"
            " on pg_class.relnamespace = pg_namespace.oid where relkind in ('r', 'v', 'm', 'p')"
        )
    }
    why = {}
    for node in known.nodes:
        mine, published = now[node.unique_id], before.get(node.unique_id)
        if not before:
            why[node.unique_id] = "the code of what is published, if any, is not known"
        elif published is None or published.value != mine.value:
            why[node.unique_id] = mine.difference(published)
        elif node.form not in ("test", "ephemeral") and (node.schema, node.name) not in there:
            why[node.unique_id] = "its table is missing"
    return why


def _changes(connection: database.Connection, reason: Reason, rewritten: dict[str, str]) -> Changes:
    """What changed between the last publication and now.

    A changed snapshot reaches every date: nothing says which ones its rows matter to.
    """
    ever = connection.execute(
        "select distinct slice_date, slice_days from ops.deliveries"
        " where outcome = 'loaded' and delivery_id <= %s",
        [reason.as_of],
    )
    every_date = {day for first, days in ever for day in _dates(first, max(days, 1))}
    differing = connection.execute(
        "select distinct source, slice_date, slice_days"
        " from ops.active_deliveries_as_of(%s) as before"
        " full join ops.active_deliveries_as_of(%s) as after"
        " using (source, slice_date, slice_hour, slice_days)"
        " where before.delivery_id is distinct from after.delivery_id",
        [reason.published_as_of, reason.as_of],
    )
    sources: dict[str, Dates] = defaultdict(set)
    for source, first, days in differing:
        sources[source] |= _dates(first, days) if days else every_date
    # What runs since the last publication built may still stand in the candidate.
    unpublished = (
        "inner join ops.runs using (run_id) where run_id > %s and build_started_at is not null"
    )
    pending: dict[str, Dates] = defaultdict(set)
    for model, first in connection.execute(
        f"select distinct model, partition_date from ops.run_partitions {unpublished}",
        [reason.published_run],
    ):
        pending[model].add(first)
    full = connection.execute(
        f"select distinct unique_id from ops.run_nodes {unpublished}"
        " and is_full and resource_type = any(%s)",
        [reason.published_run, list(graph.BUILT)],
    )
    return Changes(
        dict(sources), every_date, rewritten, dict(pending), frozenset(key for (key,) in full)
    )


def _dates(first: date, days: int) -> Dates:
    return {first + timedelta(n) for n in range(days)}
