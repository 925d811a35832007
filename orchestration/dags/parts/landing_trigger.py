"""Notices what lands: one cheap listing every few seconds, in the triggerer.

Reads the landing place and, only when the listing changed, the ledger; writes nothing. Killed: the
next triggerer looks at once, so what landed meanwhile is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from orchestration import settings
from orchestration.ingesting.waiting import Listing, look


class LandingTrigger(BaseEventTrigger):
    """Fires when files wait that nobody has looked at; once for each new listing.

    Args:
        seconds: between two listings.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        super().__init__()
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"seconds": self.seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """An event for each listing that holds something new and has come to rest."""
        known: Listing = frozenset()
        while True:
            try:
                found = await sync_to_async(look)(settings.load(), known)
            except Exception:  # a landing place that is away comes back; the trigger must not end
                self.log.exception("The landing place cannot be looked at; trying again")
                found = None
            if found is not None:
                known, new = found
                if new:
                    yield TriggerEvent({"files": len(new)})
            await asyncio.sleep(self.seconds)
