"""Whom to tell when something takes too long. Runs in the triggerer; writes an alert."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

_OWNER = "flight-analytics"


async def late(**kwargs: Any) -> None:
    """Raise an alert for a run that has missed its deadline."""
    run = kwargs.get("context", {}).get("dag_run", {})
    name = run.get("dag_id") if isinstance(run, dict) else getattr(run, "dag_id", None)
    logging.getLogger(__name__).error("late: %s has not ended in time", run)
    # It waits for the database and for channels; the triggerer has other things to do.
    await asyncio.to_thread(_note, str(name or "a DAG"))


def _note(name: str) -> None:
    # Imported here: the triggerer loads this module, and seldom has something to tell.
    from orchestration import steps

    steps.late(name, _OWNER)
