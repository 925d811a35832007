"""Pages for the browser: templates in one style, written to `var/reports/`.

Writes a page aside and moves it into place, so that nobody opens half of one. Killed: the page
that was there is still there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestration.settings import Settings

_TEMPLATES = Path(__file__).parent / "templates"


def write(settings: Settings, name: str, template: str, **content: Any) -> Path:
    """Render `template` with `content` as the file `name`; its path."""
    # Imported here: only who has something to show needs it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template(template).render(written_at=datetime.now(UTC), **content)
    folder = settings.var / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}"
    aside.write_text(page, encoding="utf-8")
    return aside.replace(folder / name)


def overview_path(settings: Settings) -> Path:
    """Where the page about everything lies, once it is written."""
    return settings.var / "reports/index.html"


def overview_link(settings: Settings) -> str:
    """The address of that page, for people."""
    if settings.reports_url:
        return f"{settings.reports_url.rstrip('/')}/index.html"
    return overview_path(settings).as_uri()
