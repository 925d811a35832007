"""Write `var/reports/index.html`: the state of everything, in one page that needs no network.

Reads what `collect` reads. Killed: the page that was there is still there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration import database, pages
from orchestration.overview import charts, days
from orchestration.overview.collect import REASONS, Overview, collect
from orchestration.settings import Settings

_LISTED = 8


def write(settings: Settings, connection: database.Connection, now: datetime | None = None) -> Path:
    """The page's path.

    Args:
        now: the moment that lateness is judged at; aware.
    """
    found = collect(settings, connection, now or datetime.now(UTC))
    return pages.write(
        settings,
        pages.overview_path(settings).name,
        "overview.html.j2",
        found=found,
        states=days.STATES,
        listed=_LISTED,
        reports={path.name for path in (settings.var / "reports").glob("publication-*.html")},
        drawn=_draw(found),
    )


def refresh(settings: Settings, connection: database.Connection) -> str:
    """Write the page after a run, and say where it lies; or why not: no run fails over a page."""
    try:
        write(settings, connection)
    except Exception as error:
        return f"not written: {type(error).__name__}: {error}"
    return pages.overview_link(settings)


def _draw(found: Overview) -> dict[str, Any]:
    """The charts; None where there is nothing to draw."""
    timed = [row for row in found.runs if row.kind != "rollback"]
    held = sorted(found.held.rows, key=lambda row: -row.rows)
    return {
        "calendars": [
            (calendar, days.calendar(calendar))
            for calendar in [s.calendar for s in found.sources if s.calendar] + found.calendars
        ],
        "volumes": [(s, days.volume(s.name, s.volumes)) for s in found.sources if s.volumes],
        "runs": charts.runs(timed) if timed else None,
        "gate": charts.gate(found.gate) if found.gate else None,
        "changes": charts.changes(found.changes) if found.changes else None,
        "models": charts.models(found.models) if found.models else None,
        "quarantine": charts.quarantine(held[:REASONS]) if held else None,
    }
