"""Notices what lands: one cheap listing every few seconds, told as an event.

Reads the landing place and, only when the listing changed or files still wait, the ledger; writes
nothing. An event can be lost: files that still wait are told of again after a minute. Killed: the
next watcher looks at once.
"""

from __future__ import annotations

import time

import anyio
from prefect.events import emit_event
from prefect.logging import get_logger

from orchestration import settings
from orchestration.flows.parts import names
from orchestration.ingesting import waiting

_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 60.0


async def watch() -> None:
    """Emit an event for each listing that holds something new and has come to rest; for ever."""
    log = get_logger("landing")
    given = settings.load()
    known: waiting.Listing = frozenset()
    told_at = time.monotonic()
    while True:
        if time.monotonic() - told_at > _AGAIN_SECONDS:
            known, told_at = frozenset(), time.monotonic()
        try:
            found = await anyio.to_thread.run_sync(waiting.look, given, known)
        except Exception:  # a landing place that is away comes back; the watcher must not end
            log.exception("The landing place cannot be looked at; trying again")
            found = None
        if found:
            known, new = found
            if new:
                told_at = time.monotonic()
                resource = {"prefect.resource.id": names.landing(given.environment)}
                emit_event(names.LANDED, resource=resource, payload={"files": len(new)})
        await anyio.sleep(_LOOK_SECONDS)
