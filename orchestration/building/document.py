"""`make docs`: dbt's documentation of the project as one page, with what is published beside it.

Reads the project and `published._catalog`; writes `var/docs/index.html`. Killed: the page that was
there is still there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestration import database
from orchestration.building import build
from orchestration.errors import AirworthyError
from orchestration.manifest import is_mart
from orchestration.publishing import catalogue
from orchestration.publishing.catalogue import Entry
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_SHOWN = 5
_FIRST_PAGE = "doc.dbt.__overview__"


def document(settings: Settings, connection: database.Connection) -> Path:
    """The page's path; it needs no server and no network.

    Raises:
        AirworthyError: the project does not compile.
    """
    manifest = build.parse(settings)
    _tell(manifest, catalogue.read(connection))
    arguments = ["docs", "generate", "--static", "--write-json", "--quiet"]
    result = build.invoke(settings, arguments, None, manifest)
    if not result.success:
        raise AirworthyError(
            f"dbt cannot document the project: {result.exception or 'a model does not compile'}",
            kept="The page that was there is still there.",
            todo=f"See {settings.var / 'logs/dbt.log'}.",
        )
    page = settings.var / "docs/index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    (settings.var / "dbt/static_index.html").replace(page)
    return page


def _tell(manifest: Manifest, entries: list[Entry]) -> None:
    """Write what is published into the descriptions that dbt is about to render."""
    by_name = {entry.mart: entry for entry in entries}
    for node in manifest.nodes.values():
        if is_mart(node):
            node.description += "\n\n" + _section(by_name.get(node.alias))
    if _FIRST_PAGE in manifest.docs:
        manifest.docs[_FIRST_PAGE].block_contents = _overview(entries)


def _section(entry: Entry | None) -> str:
    if entry is None:
        return "**Not published yet.** `make run` does it."
    came = "; ".join(
        f"{each['source']} up to {each['newest_slice']} (delivery {each['newest_delivery']})"
        for each in entry.deliveries
    )
    changed = f", changed in {entry.changed_in} at {_time(entry.changed_at)}"
    lines = [
        f"- **Owner:** {entry.owner or 'nobody'}{f' ({entry.contact})' if entry.contact else ''}",
        f"- **Freshness:** {_dates(entry)}; {came or 'from no delivery'}",
        f"- **Publication:** {entry.publication_id} at {_time(entry.published_at)}"
        + (changed if entry.changed_in else ""),
        f"- **Quality:** {_met(entry)} in the last {len(entry.quality_history)} runs",
        *(f"    - {_judged(each)}" for each in entry.quality_history[:_SHOWN]),
        f"- **Made of:** {', '.join(entry.parents) or 'no other model'}",
        f"- **Sources:** {', '.join(entry.sources) or 'none'}",
    ]
    return "### As it is published\n\n" + "\n".join(lines)


def _overview(entries: list[Entry]) -> str:
    rows = [
        f"| {entry.mart} | {entry.owner or ''} | {entry.row_count:,} | {entry.newest_date or ''}"
        f" | {entry.changed_in or ''} | {_met(entry)} | {', '.join(entry.sources)} |"
        for entry in entries
    ]
    if not entries:
        return "### Airworthy\n\nNothing is published yet; `make run` does it."
    newest = entries[0]
    return "\n".join(
        [
            "### Airworthy",
            "",
            f"Readers see publication {newest.publication_id} of {_time(newest.published_at)}.",
            "Each mart's page says more; `published._catalog` says it to a query.",
            "",
            "| mart | owner | rows | newest date | changed in | checks met | sources |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _dates(entry: Entry) -> str:
    newest = f"rows up to {entry.newest_date}" if entry.newest_date else "rows have no date"
    return f"{entry.row_count:,} rows, {newest}"


def _met(entry: Entry) -> str:
    return f"{entry.checks_passed:,} of {entry.checks:,}"


def _judged(each: dict[str, object]) -> str:
    state = "passed" if each["is_passed"] else "blocked"
    met = f"{each['checks_passed']} of {each['checks']} checks met"
    return f"run {each['run_id']}, {str(each['decided_at'])[:16].replace('T', ' ')}: {state}, {met}"


def _time(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
