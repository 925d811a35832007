"""What this environment's pool, queues, deployments and events are called."""

from __future__ import annotations

# Events, and the resources that they are about.
LANDED = "airworthy.landed"
LOADED = "airworthy.loaded"

# The global limit of how many chunks are in hand.
BACKFILL = "backfill"


def landing(environment: str) -> str:
    return f"airworthy.{environment}.landing"


def raw(environment: str) -> str:
    return f"airworthy.{environment}.raw"


def pool(environment: str) -> str:
    return f"airworthy-{environment}"
