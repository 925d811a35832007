"""Let a backfill stop, go on, start over or end.

Reads the ledger and the code; writes `ops.backfills`, `ops.backfill_chunks` and `ops.audit_log`, in
one transaction per request. Whoever works on the backfill looks before each chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestration import database
from orchestration.backfills import outline
from orchestration.backfills.backfill import (
    Backfill,
    recall,
    request_of,
    require_known_code,
    unfinished,
)
from orchestration.errors import BackfillStopped, UsageError
from orchestration.ingesting.deliveries import audit
from orchestration.planning import fingerprints
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_NOTHING = "Nothing was changed."


@database.acts_as("transformer")
def resume(
    settings: Settings,
    connection: database.Connection,
    backfill_id: int,
    *,
    keep_going: bool = False,
) -> Backfill:
    """Let an unfinished backfill go on; with `keep_going`, from now on past blocked chunks.

    Chunks that were blocked wait again.

    Raises:
        UsageError: it is finished or cancelled.
    """
    backfill = _require_unfinished(recall(connection, backfill_id))
    if keep_going:
        connection.execute(
            "update ops.backfills set keeps_going = true where backfill_id = %s", [backfill_id]
        )
    connection.execute(
        "update ops.backfill_chunks as chunks set run_id = null from ops.backfill_chunk_states as"
        " states where states.backfill_id = chunks.backfill_id and states.number = chunks.number"
        " and states.backfill_id = %s and states.state = 'blocked'",
        [backfill_id],
    )
    if backfill.state == "paused":
        _set(settings, connection, backfill, "running", "resumed")
    return recall(connection, backfill_id)


@database.acts_as("transformer")
def pause(
    settings: Settings, connection: database.Connection, backfill_id: int | None, reason: str
) -> Backfill:
    """Let the backfill stop before its next chunk."""
    return _stop(settings, connection, backfill_id, "paused", reason)


@database.acts_as("transformer")
def cancel(
    settings: Settings, connection: database.Connection, backfill_id: int | None, reason: str
) -> Backfill:
    """Let the backfill stop before its next chunk, for good; what it published stays."""
    return _stop(settings, connection, backfill_id, "cancelled", reason)


@database.acts_as("transformer")
def repin(
    settings: Settings, connection: database.Connection, backfill_id: int, manifest: Manifest
) -> Backfill:
    """Plan the backfill anew on the deliveries and the code that are there now; all chunks wait."""
    request = request_of(_require_unfinished(recall(connection, backfill_id)))
    planned = outline.outline(settings, connection, request, manifest)
    require_known_code(settings, connection, planned, manifest)
    with connection.transaction():
        connection.execute(
            "update ops.backfills set as_of = %s, code_version = %s, state = 'running'"
            " where backfill_id = %s",
            [planned.as_of, planned.code_version, backfill_id],
        )
        connection.execute(
            "update ops.backfill_chunks set run_id = null, is_empty = false where backfill_id = %s",
            [backfill_id],
        )
        audit(connection, settings.requested_by, f"repin backfill {backfill_id}", None, "asked for")
    return recall(connection, backfill_id)


def require_running(settings: Settings, backfill: Backfill) -> None:
    """Raise unless the backfill may go on, with the code that it was planned with."""
    todo = f"make backfill RESUME={backfill.backfill_id}"
    if backfill.state != "running":
        raise BackfillStopped(
            f"Backfill {backfill.backfill_id} is {backfill.state}.",
            kept="The chunks that are published stay.",
            todo=f"{todo} goes on." if backfill.state == "paused" else "Plan a new one.",
        )
    if fingerprints.code_version(settings.project) != backfill.code_version:
        raise BackfillStopped(
            f"Code, tests or expectations changed since backfill {backfill.backfill_id} was"
            " planned.",
            kept="The chunks that are published stay.",
            todo=f"Take the change back, or accept it and start over: {todo} REPIN=1",
        )


@database.acts_as("transformer")
def finish(settings: Settings, connection: database.Connection, backfill: Backfill) -> None:
    """Note that nothing is left to do."""
    _set(settings, connection, backfill, "finished", "all chunks are done")


def _require_unfinished(backfill: Backfill) -> Backfill:
    if backfill.state in ("finished", "cancelled"):
        raise UsageError(
            f"Backfill {backfill.backfill_id} is {backfill.state}.",
            kept=_NOTHING,
            todo="Plan a new one: make backfill START=... END=...",
        )
    return backfill


def _stop(
    settings: Settings,
    connection: database.Connection,
    backfill_id: int | None,
    state: str,
    reason: str,
) -> Backfill:
    found = [recall(connection, backfill_id)] if backfill_id else unfinished(connection)
    if len(found) != 1 or found[0].state not in ("running", "paused"):
        said = ", ".join(f"{one.backfill_id} is {one.state}" for one in found)
        raise UsageError(
            f"There is no single unfinished backfill{f': {said}' if said else ''}.",
            kept=_NOTHING,
            todo="Name one that is running: BACKFILL=<n>; `make status` lists them.",
        )
    _set(settings, connection, found[0], state, reason)
    return recall(connection, found[0].backfill_id)


def _set(
    settings: Settings, connection: database.Connection, backfill: Backfill, state: str, why: str
) -> None:
    with connection.transaction():
        connection.execute(
            "update ops.backfills set state = %s, finished_at ="
            " case when %s in ('cancelled', 'finished') then clock_timestamp() end"
            " where backfill_id = %s",
            [state, state, backfill.backfill_id],
        )
        action = f"backfill {backfill.backfill_id} {state}"
        audit(connection, settings.requested_by, action, None, why)
