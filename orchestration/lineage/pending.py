"""What of the ledger was not told yet, as events, in the order in which it happened.

Reads the ledger, the kept manifest and what dbt compiled; writes nothing but
`var/lineage/columns.json`.
"""

from __future__ import annotations

from orchestration.lineage import deliveries, steps
from orchestration.lineage.telling import Pending, Telling

__all__ = ["Pending", "Telling", "pending"]


def pending(telling: Telling) -> list[Pending]:
    """Deliveries first, then the steps of runs."""
    return [*deliveries.pending(telling), *steps.pending(telling)]
