"""One run's account as Markdown: deliveries, quarantine, verdict, what was published, links.

Reads the ledger; writes the page about everything in `var/reports`, and of a published run its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg.rows import namedtuple_row

from orchestration import database
from orchestration.auditing.gate import RUNBOOK
from orchestration.overview.page import refresh
from orchestration.publishing import report
from orchestration.settings import Settings

_QUERIES = {
    "run": """
        select runs.*, publications.publication_id, verdicts.passed
        from ops.runs
        left join ops.publications using (run_id)
        left join ops.verdicts using (run_id)
        where runs.run_id = %(run_id)s
    """,
    "deliveries": """
        select source, outcome, count(*) as files, sum(rows_loaded)::bigint as loaded,
            sum(rows_quarantined)::bigint as quarantined, min(reason) as reason
        from ops.deliveries
        where delivery_id <= %(as_of)s and delivery_id > coalesce(
            (select max(as_of) from ops.publications where run_id < %(run_id)s), 0
        )
        group by source, outcome order by source, outcome
    """,
    "checks": """
        select subject, check_name, severity, observed, expected, failing_rows, samples
        from ops.gate_results where run_id = %(run_id)s and not passed
        order by severity, subject limit 30
    """,
    "counts": """
        select count(*) as checks, count(*) filter (where passed) as passed
        from ops.gate_results where run_id = %(run_id)s
    """,
    "changes": """
        select mart, inserted, updated, deleted, rows_after from ops.publication_changes
        inner join ops.publications using (publication_id)
        where run_id = %(run_id)s order by mart
    """,
}


def account(settings: Settings, connection: database.Connection, run_id: int) -> str:
    """The account of a run in whatever state it is."""
    rows: dict[str, list[Any]] = {}
    ids = {"run_id": run_id, "as_of": 0}
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        for name, query in _QUERIES.items():
            rows[name] = cursor.execute(query, ids).fetchall()
            if name == "run":
                ids["as_of"] = rows["run"][0].as_of
    (run,), (counts,) = rows["run"], rows["counts"]
    parts = [
        f"# Run {run_id}: {run.state}",
        f"Deliveries up to {run.as_of}, code `{run.code_version[:12]}`, by {run.requested_by}.",
        "## Deliveries",
        _table(("source", "outcome", "files", "loaded", "quarantined", "reason"),
               rows["deliveries"]) or "None are new; the code changed.",
        "## Verdict",
        f"{_verdict(run.passed)} {counts.passed} of {counts.checks} checks met.",
        _table(("subject", "check", "severity", "observed", "expected", "rows", "such as"),
               rows["checks"]),
        "## Published",
        _table(("mart", "inserted", "updated", "deleted", "rows"), rows["changes"])
        or "Nothing; readers see what they saw before.",
        "## Links",
        *_links(settings, connection, run),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def _verdict(passed: bool | None) -> str:
    return {True: "**Passed.**", False: "**Blocked.**", None: "**No verdict.**"}[passed]


def _links(settings: Settings, connection: database.Connection, run: Any) -> Iterable[str]:
    if run.publication_id is None:
        yield f"- What to do: `{RUNBOOK}`"
    else:
        found = report.collect(connection)
        if found and found.publication.publication_id == run.publication_id:
            yield f"- The page with every check: `{report.write(settings, found)}`"
        yield f"- The changed rows: `make diff PUBLICATION={run.publication_id}`"
    yield f"- The state of everything: {_address(refresh(settings, connection))}"
    yield f"- dbt's log: `{settings.var / 'logs/dbt.log'}`"


def _address(link: str) -> str:
    return f"[{link}]({link})" if "://" in link and " " not in link else f"`{link}`"


def _table(titles: tuple[str, ...], rows: list[Any]) -> str:
    if not rows:
        return ""
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(_text(value) for value in line) + " |" for line in lines)


def _text(value: object) -> str:
    """A value as a cell: nothing in it is markup."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    for character in "\\`*_<>|[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
