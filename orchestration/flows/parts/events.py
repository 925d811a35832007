"""What one flow tells the others."""

from __future__ import annotations

from prefect.events import emit_event

from orchestration import settings
from orchestration.flows.parts import names


def tell_loaded(sources: list[str]) -> None:
    """Start `warehouse`: these sources have rows that nobody published yet."""
    if sources:
        environment = settings.load().environment
        emit_event(
            names.LOADED,
            resource={"prefect.resource.id": names.raw(environment)},
            payload={"sources": sources},
        )
