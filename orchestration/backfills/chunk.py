"""Do one chunk of a backfill: plan, build, gate, publish; and what comes after the last one.

Writes what the steps write. Killed anywhere: the chunk is published or it is not; do it again. A
chunk holds the lock that keeps runs apart, and hands it on when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestration import database
from orchestration.auditing.auditor import auditor
from orchestration.auditing.checks import Verdict
from orchestration.auditing.gate import RUNBOOK, gate
from orchestration.backfills import backfill as backfills
from orchestration.backfills import control as backfill_control
from orchestration.backfills.backfill import Backfill, Chunk
from orchestration.backfills.chunk_plan import plan_chunk, plan_together
from orchestration.building.build import build
from orchestration.errors import BackfillStopped, PublishingHeld, UsageError, WarehouseBusy
from orchestration.publishing.history import Difference, of_candidate
from orchestration.publishing.publish import Publication, publish
from orchestration.publishing.rollback import active_hold
from orchestration.runs import Run
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_PATIENCE = 3600  # seconds to wait for runs that came first
# Runs of other runners hold the lock per step: theirs are alive while they are this young.
_YOUNG = "30 minutes"
_SAMPLES = 3  # rows that a comparison shows of each mart


@dataclass(frozen=True)
class Done:
    """What came of a chunk, or of all staged ones.

    Attributes:
        chunk: as it is now; None for all together.
        verdict: None where nothing was built, because it was done already or there is nothing.
        publication: None where nothing was published.
        differences: what publishing would change, of a comparison.
    """

    chunk: Chunk | None
    run: Run | None = None
    verdict: Verdict | None = None
    publication: Publication | None = None
    differences: tuple[Difference, ...] = ()


def do_chunk(
    settings: Settings,
    connection: database.Connection,
    backfill_id: int,
    number: int,
    manifest: Manifest,
) -> Done:
    """Rebuild, audit and publish a chunk, unless that is done already; staged: publish later.

    The verdict may be that nothing is published. Waits for its turn.

    Raises:
        BackfillStopped: it is paused or cancelled, the code is not the one that it was planned
            with, or another chunk was blocked.
        PublishingHeld: somebody rolled back and nobody has resumed.
        WarehouseBusy: other runs took all of an hour.
    """
    with _turn(connection):
        chunk = _chunk(connection, backfill_id, number)
        if chunk.is_done(backfills.recall(connection, backfill_id)):
            return Done(chunk)
        backfill = _require_ready(settings, connection, backfill_id)
        _require_none_blocked(connection, backfill, number)
        staged = staged_runs(connection, backfill)
        run = plan_chunk(settings, connection, backfill, chunk, staged, manifest)
        if run is None:
            return Done(_chunk(connection, backfill_id, number))
        with auditor(settings, connection, run) as ready:
            # dbt leaves what it compiled in the manifest; the next chunk compiles anew.
            own: Manifest = manifest.deepcopy()  # type: ignore[no-untyped-call]
            build(settings, connection, run, own)
            verdict = gate(settings, connection, run, ready)
        publication = None
        if verdict.passed and not backfill.is_staged:
            publication = publish(settings, connection, verdict)
        if not verdict.passed and backfill.keeps_going:
            _take_back(connection, run)
        return Done(_chunk(connection, backfill_id, number), run, verdict, publication)


def finish(
    settings: Settings, connection: database.Connection, backfill_id: int, manifest: Manifest
) -> Done:
    """End a backfill whose chunks are all done; staged: audit them together and publish them.

    A comparison is audited, not published.

    Raises:
        BackfillStopped: chunks are left, or it is paused or cancelled.
        PublishingHeld: somebody rolled back and nobody has resumed.
    """
    with _turn(connection):
        if backfills.recall(connection, backfill_id).state == "finished":
            return Done(None)  # by somebody who worked on it as well
        backfill = _require_ready(settings, connection, backfill_id)
        left = [c for c in backfills.chunks(connection, backfill_id) if not c.is_done(backfill)]
        if left:
            raise BackfillStopped(
                f"{len(left)} chunks of backfill {backfill_id} are left: "
                + ", ".join(f"{chunk.range} {chunk.state}" for chunk in left[:5]),
                kept="The others are done.",
                todo=f"make backfill RESUME={backfill_id} goes on with them.",
            )
        done = Done(None)
        if backfill.is_staged and (staged := staged_runs(connection, backfill)):
            run = plan_together(settings, connection, backfill, staged, manifest)
            verdict = gate(settings, connection, run)
            done = Done(None, run, verdict)
            if backfill.is_comparison and verdict.passed:
                done = replace(done, differences=_differences(connection))
                _close(connection, run)
            elif verdict.passed:
                done = replace(done, publication=publish(settings, connection, verdict))
        if done.verdict is None or done.verdict.passed:
            backfill_control.finish(settings, connection, backfill)
        return done


@contextmanager
def _turn(connection: database.Connection) -> Iterator[None]:
    """The lock that keeps runs apart, after all who wait for it; known to be a backfill's."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        with (
            database.only_one(connection, "chunk", patience=_PATIENCE),
            database.only_one(connection, "run", patience=_PATIENCE),
        ):
            if not _is_somebody_at_work(connection):
                yield
                return
        if time.monotonic() > deadline:
            raise WarehouseBusy(
                "Runs of other runners took all of an hour.",
                kept="The chunks that are done stay.",
                todo="Run the same command again later.",
            )
        time.sleep(2)


def _is_somebody_at_work(connection: database.Connection) -> bool:
    row = connection.execute(
        "select exists (select from ops.runs where state in ('planned', 'built', 'passed')"
        " and runner <> 'shell' and kind <> 'backfill'"
        f" and planned_at > now() - interval '{_YOUNG}'"
        " and not exists (select from ops.holds where lifted_at is null))"
    ).fetchone()
    return bool(row and row[0])


def _require_ready(
    settings: Settings, connection: database.Connection, backfill_id: int
) -> Backfill:
    backfill = backfills.recall(connection, backfill_id)
    backfill_control.require_running(settings, backfill)
    hold = active_hold(connection)
    if hold and not backfill.is_comparison:
        raise PublishingHeld(
            f"Publishing is held since {hold.set_at:%Y-%m-%d %H:%M} by {hold.set_by}:"
            f" {hold.reason}",
            kept="The chunks that are published stay.",
            todo=f"`make resume REASON=...`, then make backfill RESUME={backfill_id}",
        )
    return backfill


def _require_none_blocked(connection: database.Connection, backfill: Backfill, number: int) -> None:
    """Raise if the backfill stops at blocked chunks and another one is."""
    if backfill.keeps_going:
        return
    for chunk in backfills.chunks(connection, backfill.backfill_id):
        if chunk.state == "blocked" and chunk.number != number:
            raise BackfillStopped(
                f"Backfill {backfill.backfill_id} stopped: the gate blocked {chunk.range}.",
                kept="The chunks that are published stay.",
                todo=f"See {RUNBOOK}; then make backfill RESUME={backfill.backfill_id}",
            )


def _chunk(connection: database.Connection, backfill_id: int, number: int) -> Chunk:
    for chunk in backfills.chunks(connection, backfill_id):
        if chunk.number == number:
            return chunk
    raise UsageError(f"Backfill {backfill_id} has no chunk {number}.", kept="Nothing was changed.")


def staged_runs(connection: database.Connection, backfill: Backfill) -> list[int]:
    """The runs of chunks that have passed and wait for the others, oldest first."""
    if not backfill.is_staged:
        return []
    found = backfills.chunks(connection, backfill.backfill_id)
    return sorted(c.run_id for c in found if c.state == "passed" and c.run_id is not None)


@database.acts_as("transformer")
def _take_back(connection: database.Connection, run: Run) -> None:
    connection.execute("select ops.take_back(%s)", [run.run_id])


@database.acts_as("auditor")
def _differences(connection: database.Connection) -> tuple[Difference, ...]:
    return tuple(of_candidate(connection, _SAMPLES))


@database.acts_as("transformer")
def _close(connection: database.Connection, run: Run) -> None:
    """End a comparison: the candidate holds again what is published."""
    with connection.transaction():
        connection.execute(
            "update ops.runs set state = 'superseded', finished_at = now() where run_id = %s",
            [run.run_id],
        )
        connection.execute("select ops.take_back(%s)", [run.run_id])
