"""Tables for the terminal: what a plan builds, what was published, which rows differ.

Writes the terminal, nothing else.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from orchestration import console
from orchestration.planning.reach import Work
from orchestration.publishing.history import Difference


def show_works(works: list[Work]) -> None:
    """Print for each model and seed what the run builds of it, and why."""
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for title in ("model", "builds", "why"):
        table.add_column(title, no_wrap=True)
    for work in works:
        if not work.node.is_test:
            style = None if work.is_selected else "dim"
            table.add_row(work.node.name, _amount(work), work.why, style=style)
    console.show(table)
    tests = [work for work in works if work.node.is_test]
    selected = sum(work.is_selected for work in tests)
    console.say("", f"{selected} of {len(tests)} tests run on them")


def _amount(work: Work) -> str:
    if not work.is_selected:
        return "nothing"
    if work.is_full or not work.node.partitioning:
        return "everything"
    grain = work.node.partitioning.grain
    return f"{len(work.partitions):,} {grain}{'s' if len(work.partitions) > 1 else ''}"


def show_publications(publications: list[Any]) -> None:
    """Print one line per publication, newest first."""
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    for title in ("publication", "published at (UTC)", "by", "why"):
        table.add_column(title, no_wrap=True)
    for title in ("deliveries up to", "code", "inserted", "updated", "deleted"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in publications:
        why = f"back to {row.restores}" if row.restores else row.kind
        if row.backfill_id:
            why += f" {row.backfill_id}"
        counts = (f"{count or 0:,}" for count in (row.inserted, row.updated, row.deleted))
        table.add_row(
            str(row.publication_id), f"{row.published_at:%Y-%m-%d %H:%M:%S}", row.published_by, why,
            str(row.as_of), row.code_version, *counts, style=None if row.is_retained else "dim",
        )  # fmt: skip
    console.show(table)


def show_difference(difference: Difference) -> None:
    """Print how many rows of a mart differ, and some of them: old beside new."""
    counts = ", ".join(
        f"{count:,} {change}s" for change, count in sorted(difference.counts.items())
    )
    console.say("diff", f"{difference.mart}: {counts}")
    for change, before, after in difference.rows:
        row = after or before
        names = [name for name in row if not name.startswith("_")]
        changed = [n for n in names if before.get(n) != after.get(n)] if after and before else []
        said = [f"{name} {row[name]}" for name in names if name not in changed]
        console.out.print(f"    [bold]{change}[/] ", end="")
        console.out.print(", ".join(said[:6]), markup=False)
        for name in changed:
            console.out.print(f"        {name}: {before[name]} -> {after[name]}", markup=False)
