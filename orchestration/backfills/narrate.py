"""What a backfill says in the terminal.

Writes the terminal, nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from orchestration import console
from orchestration.auditing.checks import Verdict
from orchestration.auditing.gate import RUNBOOK
from orchestration.backfills.backfill import Backfill, Chunk
from orchestration.backfills.chunk import Done
from orchestration.backfills.outline import Outline
from orchestration.errors import GateBlocked
from orchestration.narrate import describe, say_published
from orchestration.publishing.history import Difference
from orchestration.show import show_difference

_SHOWN = 5


def show_outline(outline: Outline) -> None:
    """Print the plan: chunks, deliveries, rows, days without delivery, time."""
    table = Table(box=None, padding=(0, 1), pad_edge=True)
    table.add_column("chunk", justify="right")
    for title in ("from", "to (included)"):
        table.add_column(title, no_wrap=True)
    for title in ("deliveries", "rows"):
        table.add_column(title, justify="right", no_wrap=True)
    for number, part in enumerate(outline.parts, 1):
        table.add_row(
            str(number), str(part.range.first), str(part.range.last),
            f"{part.deliveries:,}", f"{part.rows:,}",
        )  # fmt: skip
    console.show(table)
    deliveries, rows = (
        sum(getattr(part, name) for part in outline.parts) for name in ("deliveries", "rows")
    )
    console.say(
        "plan",
        f"{len(outline.parts)} chunks, {outline.request.range}, both included:"
        f" {deliveries:,} deliveries up to {outline.as_of}, {rows:,} rows",
    )
    console.say("gaps", f"days without delivery: {outline.say_gaps() or 'none'}")
    if outline.seconds is None:
        console.say("time", "not known: nothing was published yet")
    else:
        console.say("time", f"about {outline.seconds:,.0f} s, by what earlier runs took")
    console.say("next", "nothing was changed; without DRY_RUN it is done")


def say_start(backfill: Backfill, chunks: list[Chunk], left: int) -> None:
    limits = f", models {', '.join(backfill.models)}" if backfill.models else ""
    console.say(
        "backfill",
        f"{backfill.backfill_id}: {backfill.range}, both included, {left} of {len(chunks)} chunks"
        f" to do, deliveries up to {backfill.as_of}{limits}",
    )
    if backfill.max_active > 1:
        console.say("", "chunks are built one at a time: they share the candidate's tables")


def say_chunk(done: Done) -> None:
    if done.run:
        console.about_run(done.run.run_id)
    assert done.chunk
    what = f"chunk {done.chunk.number}, {done.chunk.range}"
    if done.verdict is None:
        console.say("backfill", f"{what}: {done.chunk.state}, nothing to do")
        return
    if done.verdict.passed:
        warnings = f", {len(done.verdict.warnings)} warnings" if done.verdict.warnings else ""
        console.say("backfill", f"{what}: {len(done.verdict.checks)} checks passed{warnings}")
    else:
        console.say("backfill", f"{what}: blocked")
        for check in done.verdict.blocking[:_SHOWN]:
            console.say("", describe(check))
    if done.publication:
        say_published(done.publication)


def blocked_error(backfill: Backfill, verdict: Verdict) -> GateBlocked:
    """Why the backfill ends here."""
    lines = [f"           - {describe(check)}" for check in verdict.blocking[:_SHOWN]]
    return GateBlocked(
        f"The gate blocks run {verdict.run.run_id} of backfill {backfill.backfill_id}:\n"
        + "\n".join(lines),
        kept="The chunks that are published stay; of this one nothing was published.",
        todo=f"See {RUNBOOK}; after mending, make backfill RESUME={backfill.backfill_id}",
    )


def say_end(backfill: Backfill, done: Done) -> None:
    if done.publication:
        say_published(done.publication)
    said = "compared, nothing published" if backfill.is_comparison else "finished"
    console.say("backfill", f"{backfill.backfill_id}: {said}")


def show_differences(differences: Sequence[Difference]) -> None:
    """Print what would change: rows per mart and month, and some rows, old beside new."""
    for difference in differences:
        show_difference(difference)
        for month, counts in sorted(difference.months.items()):
            said = ", ".join(f"{count:,} {change}s" for change, count in sorted(counts.items()))
            console.say("", f"  {month}: {said}")
    if not differences:
        console.say("diff", "no row differs from what is published")
