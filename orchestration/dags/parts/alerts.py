"""Whom to tell when something takes too long. Runs in the triggerer; writes its log."""

from __future__ import annotations

import logging
from typing import Any


async def late(**kwargs: Any) -> None:
    """Say that a run has missed its deadline; how people hear of it is up to the log's readers."""
    run = kwargs.get("context", {}).get("dag_run", {})
    logging.getLogger(__name__).error("late: %s has not ended in time", run)
