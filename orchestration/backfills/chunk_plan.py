"""Plan the run of one chunk, or of all staged chunks together.

Reads the ledger, the code and dbt's manifest; writes a run (`ops.runs`, `ops.run_nodes`,
`ops.run_partitions`) and its chunk in one transaction. Killed: there is no run, or a whole one
that the next plan supersedes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.range import DateRange

from orchestration import database
from orchestration.backfills.backfill import Backfill, Chunk
from orchestration.backfills.ranges import Range
from orchestration.planning import changes, code_changes, graph, reach, standing
from orchestration.planning.fingerprints import Fingerprint
from orchestration.planning.graph import Dates, Graph, Node
from orchestration.planning.plan import Reason, fingerprints_of, record, supersede
from orchestration.planning.reach import Changes
from orchestration.planning.standing import Standing
from orchestration.runs import Run, recall
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class _Base:
    """What a chunk is planned on: what is published, and what is staged over it."""

    known: Graph
    now: dict[str, Fingerprint]
    published: Standing
    staged: Standing
    as_of: int


@database.acts_as("transformer")
def plan_chunk(
    settings: Settings,
    connection: database.Connection,
    backfill: Backfill,
    chunk: Chunk,
    staged: list[int],
    manifest: Manifest,
) -> Run | None:
    """Record the run of a chunk and supersede every unfinished one; None if it would do nothing.

    It rebuilds what the chunk's dates reach, changed or not; what is lost; and what unpublished
    runs left in the candidate. Of models without partitions, only what those dates reach and what
    is not published as it would be now. It never reads older deliveries than what is published.

    Args:
        staged: runs of chunks that have passed and wait for the others.
    """
    connection.execute("select ops.refresh_statistics()")
    with connection.transaction():
        supersede(connection)
        base = _base(settings, connection, backfill, staged, manifest)
        changed = _changed(connection, backfill, chunk.range, base, staged)
        works = reach.decide(base.known, changed)
        if not any(work.is_selected for work in works):
            connection.execute(
                "update ops.backfill_chunks set is_empty = true"
                " where backfill_id = %s and number = %s",
                [backfill.backfill_id, chunk.number],
            )
            return None
        reason = Reason(base.as_of, backfill.code_version, base.published)
        run = record(settings, connection, reason, works, "backfill")
        assert run is not None
        _belong(connection, backfill, chunk.range, run)
        connection.execute(
            "update ops.backfill_chunks set run_id = %s where backfill_id = %s and number = %s",
            [run.run_id, backfill.backfill_id, chunk.number],
        )
        if not backfill.is_staged:
            _note_completion(connection, run, base)
    return run


@database.acts_as("transformer")
def plan_together(
    settings: Settings,
    connection: database.Connection,
    backfill: Backfill,
    staged: list[int],
    manifest: Manifest,
) -> Run:
    """Record one run that stands for all staged ones: their nodes, partitions and evidence."""
    with connection.transaction():
        supersede(connection)
        base = _base(settings, connection, backfill, [], manifest)
        row = connection.execute(
            database.script(_HERE, "staged_runs"),
            {"staged": staged, "runner": settings.runner, "who": settings.requested_by},
        ).fetchone()
        assert row is not None
        run = recall(connection, int(row[0]))
        _belong(connection, backfill, backfill.range, run)
        _note_completion(connection, run, base)
    return run


def _base(
    settings: Settings,
    connection: database.Connection,
    backfill: Backfill,
    staged: list[int],
    manifest: Manifest,
) -> _Base:
    now = fingerprints_of(settings, connection, backfill.code_version, manifest)
    published = standing.read(connection)
    over = published
    for run_id, layer in zip(staged, standing.layers(connection, staged), strict=True):
        over = over.with_layer(layer, run_id)
    as_of = max(backfill.as_of, over.newest_as_of)
    return _Base(graph.read(manifest, settings.project, connection), now, published, over, as_of)


def _changed(
    connection: database.Connection, backfill: Backfill, part: Range, base: _Base, staged: list[int]
) -> Changes:
    ever = changes.delivered(connection, base.as_of)
    upstream = ever.upstream_of(base.known)
    partitions, nodes = changes.pending(connection, base.published, staged)
    if not base.staged.run_id and not base.staged.layers:
        nodes -= _drop_unpublished(connection, base.known, nodes, partitions)
    there = code_changes.relations(connection)
    rewritten = code_changes.rewritten(
        connection, base.known, base.staged, base.now, upstream, there
    )
    built = {key for layer in base.staged.layers for key in layer.built}
    lost = {
        node.unique_id
        for node in base.known.nodes
        if node.partitioning
        and node.form == "incremental"
        and (node.schema, node.name) not in there
        and (rewritten[node.unique_id] == code_changes.MISSING or node.unique_id in built)
    }
    covered = {
        node.unique_id
        for node in base.known.nodes
        if node.partitioning
        and node.form == "incremental"
        and upstream[node.unique_id] <= part.dates
    }
    sources = {source: dates & part.dates for source, dates in ever.dates.items()}
    readers = changes.readers_of(base.known)
    for source in changes.differing(connection, base.staged, base.as_of, part.dates, readers):
        if source in ever.snapshots:
            sources[source] = part.dates
    return Changes(
        sources, part.dates, rewritten, partitions, nodes | lost, is_chunk=True,
        covered=frozenset(covered), only=_limited_to(base.known, backfill.models),
    )  # fmt: skip


def _drop_unpublished(
    connection: database.Connection,
    known: Graph,
    nodes: frozenset[str],
    partitions: dict[str, Dates],
) -> frozenset[str]:
    """Drop whole tables that runs left unpublished when nothing is published: a chunk begins anew.

    Else the first chunk would have to build all of them again.
    """
    dropped = [n for n in known.nodes if n.partitioning and n.unique_id in nodes and not n.is_view]
    for node in dropped:
        relation = database.relation(node.schema, node.name)
        connection.execute(sql.SQL("drop table if exists {} cascade").format(relation))
        partitions.pop(node.name, None)
    return frozenset(node.unique_id for node in dropped)


def _limited_to(known: Graph, models: list[str]) -> frozenset[str] | None:
    """The nodes named, what is built from them, and tests on those; None means all."""
    if not models:
        return None
    found: set[str] = set()
    for node in known.nodes:
        if node.name in models or not found.isdisjoint(node.parents):
            found.add(node.unique_id)
    return frozenset(found)


def _belong(connection: database.Connection, backfill: Backfill, part: Range, run: Run) -> None:
    covers = None if backfill.models else DateRange(part.first, part.last + timedelta(1), "[)")
    connection.execute(
        "update ops.runs set backfill_id = %s, covers = %s where run_id = %s",
        [backfill.backfill_id, covers, run.run_id],
    )


def _note_completion(
    connection: database.Connection,
    run: Run,
    base: _Base,
) -> None:
    """Note if nothing will be left to build from the run's inputs by its code."""
    after = base.published
    for layer in standing.layers(connection, [run.run_id]):
        after = after.with_layer(layer, run.run_id)
    ever = changes.delivered(connection, run.as_of)
    upstream = ever.upstream_of(base.known)
    readers = changes.readers_of(base.known)
    if changes.differing(connection, after, run.as_of, ever.every_date, readers):
        return
    if code_changes.rewritten(connection, base.known, after, base.now, upstream):
        return
    before = code_changes.rewritten(connection, base.known, base.published, base.now, upstream)
    left = changes.pending(connection, after)
    anew = {unique_id for layer in after.layers for unique_id in layer.full}
    if any(left) or any(
        _has_strays(connection, node, after.layer_runs)
        for node in base.known.nodes
        if node.form == "incremental" and node.partitioning
        and node.unique_id in before and node.unique_id not in anew
    ):  # fmt: skip
        return
    connection.execute("update ops.runs set completes = true where run_id = %s", [run.run_id])


def _has_strays(connection: database.Connection, node: Node, runs: tuple[int, ...]) -> bool:
    """Whether old code left rows at dates that no chunk has reached."""
    assert node.partitioning
    if (node.schema, node.name) not in code_changes.relations(connection):
        return False
    query = sql.SQL(
        "select exists (select from {relation} where not exists (select from ops.run_partitions"
        " where run_id = any(%s) and model = %s and {column} between partition_date and last_date))"
    ).format(
        relation=database.relation(node.schema, node.name),
        column=sql.Identifier(node.partitioning.column),
    )
    values: list[Any] = [list(runs), node.name]
    row = connection.execute(query, values).fetchone()
    return bool(row and row[0])
