"""The report of a publication: the closing page in the terminal, and a page for the browser.

Reads the ledger and, for the demo's findings, the published marts; writes `var/reports/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from rich.rule import Rule
from rich.table import Table

from orchestration import console, database, pages
from orchestration.ingesting import raw
from orchestration.settings import Settings

_HERE = Path(__file__).parent
_QUERIES = {
    "arrived": """
        select
            source,
            count(*) filter (where outcome = 'loaded') as deliveries,
            count(*) filter (where outcome = 'rejected') as rejected,
            min(slice_date) as first_date,
            max(slice_date) as last_date,
            sum(rows_received)::bigint as received,
            sum(rows_loaded)::bigint as loaded,
            sum(rows_quarantined)::bigint as quarantined
        from ops.deliveries group by source order by source
    """,
    "rejected": """
        select uri, reason, recorded_at from ops.deliveries
        where outcome = 'rejected' order by delivery_id desc limit 10
    """,
    "evidence": """
        select nodes.resource_type, count(*) as nodes, round(sum(results.seconds), 1) as seconds
        from ops.run_nodes as nodes inner join ops.build_results as results
        using (run_id, unique_id)
        where nodes.run_id = %(run_id)s group by 1 order by 1
    """,
    "built": """
        select
            nodes.*,
            results.seconds,
            nullif(results.rows_affected, -1) as rows,
            breaches.run_id is not null as is_over_budget
        from ops.run_nodes as nodes
        inner join ops.build_results as results using (run_id, unique_id)
        left join ops.budget_breaches as breaches using (run_id, name)
        where nodes.run_id = %(run_id)s and nodes.resource_type in ('model', 'seed')
        order by results.seconds desc
    """,
    "gate": """
        select
            subject,
            count(*) as checks,
            count(*) filter (where passed) as passed,
            count(*) filter (where not passed and severity = 'warning') as warnings
        from ops.gate_results where run_id = %(run_id)s and kind = 'expectation'
        group by subject order by subject
    """,
    "checks": """
        select subject, check_name, severity, passed, observed, expected, note
        from ops.gate_results where run_id = %(run_id)s and kind = 'expectation'
        order by subject, check_id
    """,
    "published": """
        select changes.*, nodes.partition_column, nodes.owner
        from ops.publication_changes as changes
        inner join ops.run_nodes as nodes
            on nodes.run_id = %(run_id)s and nodes.name = changes.mart and nodes.is_mart
        where changes.publication_id = %(publication_id)s order by mart
    """,
}


@dataclass(frozen=True)
class Report:
    """All that the pages show; each list holds rows of the query of the same name."""

    publication: Any
    arrived: list[Any]
    quarantined: list[Any]
    rejected: list[Any]
    evidence: list[Any]
    built: list[Any]
    gate: list[Any]
    checks: list[Any]
    published: list[Any]
    findings: list[tuple[str, str]]


def collect(connection: database.Connection, *, findings: bool = False) -> Report | None:
    """The newest publication's report; None before the first.

    Args:
        findings: ask the demo's marts for something worth knowing as well.
    """
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        publication: Any = cursor.execute(
            "select publications.*, runs.kind, runs.runner from ops.publications"
            " inner join ops.runs using (run_id) order by publication_id desc limit 1"
        ).fetchone()
        if publication is None:
            return None
        ids = {"run_id": publication.run_id, "publication_id": publication.publication_id}
        rows = {name: cursor.execute(query, ids).fetchall() for name, query in _QUERIES.items()}
    return Report(
        publication=publication,
        quarantined=_quarantined(connection),
        findings=_findings(connection) if findings else [],
        **rows,
    )


def show(report: Report) -> None:
    """Print the closing page."""
    p = report.publication
    console.out.print()
    console.out.print(
        Rule(f"[bold]Publication {p.publication_id}[/] at {p.published_at:%H:%M:%S} UTC")
    )
    console.out.print()
    console.show(_arrived_table(report))
    for row in report.quarantined:
        console.out.print("  [yellow]quarantined[/] ", end="")
        console.out.print(f"{row.uri}, line {row.line}: {'; '.join(row.reasons)}", markup=False)
    for row in report.rejected:
        console.out.print("  [red]rejected[/] ", end="")
        console.out.print(f"{row.uri}: {row.reason}", markup=False)
    console.out.print()
    console.show(_published_table(report))
    for row in report.built:
        if row.is_over_budget:
            console.out.print(f"  [yellow]over budget[/] {row.name}: {row.seconds} s")
    console.out.print()
    for title, sentence in report.findings:
        console.out.print(f"  [bold]{title}.[/] {sentence}")
    if report.findings:
        console.out.print()


def show_next(page: Path, commands: dict[str, str]) -> None:
    """Print where the page for the browser lies, and what to try next."""
    console.out.print("  [bold]Go on:[/]")
    for command, why in commands.items():
        console.out.print(f"    [green]{command}[/]  [dim]{why}[/]")
    console.out.print("    ", end="")
    console.out.print(f"open {page}", markup=False, style="green", end="")
    console.out.print("  [dim]the same, and every check, as a page[/]")


def write(settings: Settings, report: Report) -> Path:
    """Write the page for the browser; returns its path. It needs no network to be read."""
    return pages.write(
        settings,
        f"publication-{report.publication.publication_id}.html",
        "publication.html.j2",
        report=report,
        has_overview=pages.overview_path(settings).exists(),
    )


def _quarantined(connection: database.Connection, most: int = 10) -> list[Any]:
    found: list[Any] = []
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        for source in raw.sources(connection):
            held = database.relation("quarantine", source).as_string(connection)
            found += cursor.execute(
                f"select source, uri, line, raw_text, reasons from {held}"
                " inner join ops.deliveries using (delivery_id)"
                " order by delivery_id desc, line limit %s",
                [most],
            ).fetchall()
    return found[:most]


def _findings(connection: database.Connection) -> list[tuple[str, str]]:
    found = []
    for path in sorted((_HERE / "findings").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        try:
            row = connection.execute(text).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            continue  # the demo's marts were replaced by a team's own
        if row and row[0]:
            found.append((text.splitlines()[0].removeprefix("--").strip(), str(row[0])))
    return found


def _arrived_table(report: Report) -> Table:
    table = _table(
        "What arrived", "source", "files", "rejected", "received", "loaded", "quarantined"
    )
    table.add_column("dates", no_wrap=True)
    for row in report.arrived:
        dates = _dates(row.first_date, row.last_date)
        counts = (row.deliveries, row.rejected, row.received, row.loaded, row.quarantined)
        table.add_row(row.source, *(f"{count:,}" for count in counts), dates)
    return table


def _dates(first: date | None, last: date | None) -> str:
    if first is None or last is None:
        return ""
    short = last.year == first.year
    return f"{first} to {last:%m-%d}" if short else f"{first} to {last}"


def _published_table(report: Report) -> Table:
    checks = {row.subject: row for row in report.gate}
    table = _table(
        "What was published", "mart", "rows", "inserted", "updated", "deleted", "checks met"
    )
    for row in report.published:
        counts = (row.rows_after, row.inserted, row.updated, row.deleted)
        gate = checks.get(row.mart)
        met = f"{gate.passed} of {gate.checks}" if gate else ""
        table.add_row(row.mart, *(f"{count:,}" for count in counts), met)
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(
        title=f"[bold]{title}", title_justify="left", box=None, padding=(0, 1), pad_edge=True
    )
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
