"""What each step says in the terminal.

Writes the terminal, nothing else.
"""

from __future__ import annotations

from collections import Counter

from orchestration import console
from orchestration.auditing.checks import Check, Verdict
from orchestration.auditing.gate import RUNBOOK
from orchestration.building.build import Built
from orchestration.errors import GateBlocked
from orchestration.ingesting.deliveries import Delivery
from orchestration.planning.plan import Plan
from orchestration.publishing.publish import Publication
from orchestration.publishing.rollback import Hold

_SHOWN = 5


def say_deliveries(deliveries: list[Delivery]) -> None:
    if not console.is_for_people():
        _log_deliveries(deliveries)
        return
    by_outcome = {
        outcome: [d for d in deliveries if d.outcome == outcome]
        for outcome in ("loaded", "duplicate", "rejected")
    }
    rows = sum(delivery.rows_loaded for delivery in deliveries)
    held = sum(delivery.rows_quarantined for delivery in deliveries)
    if not deliveries:
        console.say("ingest", "nothing new has landed")
        return
    console.say(
        "ingest",
        f"{len(by_outcome['loaded'])} deliveries loaded: {rows:,} rows, {held:,} quarantined",
    )
    for outcome in ("duplicate", "rejected"):
        for delivery in by_outcome[outcome][:_SHOWN]:
            console.say("", f"{outcome}: {delivery.file.uri}: {delivery.reason}")
        more = len(by_outcome[outcome]) - _SHOWN
        if more > 0:
            console.say("", f"{outcome}: {more} more, listed in ops.deliveries")
    added = sorted({name for delivery in deliveries for name in delivery.added_columns})
    if added:
        console.say("", f"columns that no contract knows, not loaded: {', '.join(added)}")
    for rule, count in sum((d.warnings for d in deliveries), Counter[str]()).items():
        console.say("", f"warning: {count:,} rows loaded although {rule}")


def _log_deliveries(deliveries: list[Delivery]) -> None:
    """One line for each; its reason may quote a value, and stands in the ledger."""
    for delivery in deliveries:
        console.say(
            "ingest",
            f"{delivery.outcome}: {delivery.file.uri}",
            source=delivery.source,
            delivery=delivery.delivery_id,
            rows_loaded=delivery.rows_loaded,
            rows_quarantined=delivery.rows_quarantined,
        )


def say_plan(planned: Plan, readers_wait_seconds: int) -> None:
    """Say which run it is, why it is due, and whether readers will have to wait."""
    run = planned.run
    for sentence in planned.leftovers:
        console.say("plan", f"warning: {sentence}")
    if run is None:
        console.say("plan", "deliveries or code are new, but no model can have changed by them")
        return
    console.about_run(run.run_id)
    anew = [w for w in planned.works if w.is_selected and w.is_full and not w.node.is_test]
    sources = sorted(planned.changes.sources.items())
    why = {
        "first": "nothing is published yet: everything is built",
        "code": f"code changed: {len(anew)} models and seeds are built anew",
        "changes": "dates changed: " + ", ".join(f"{s} {len(dates)}" for s, dates in sources),
    }
    console.say("plan", f"run {run.run_id}, deliveries up to {run.as_of}; {why[run.kind]}")
    if planned.reshaped:
        names = ", ".join(planned.reshaped)
        console.say(
            "",
            f"{names}: columns or constraints change; when that is published, readers wait for it,"
            f" {readers_wait_seconds} s at most",
        )


def say_built(built: Built) -> None:
    if built.failed:
        names = ", ".join(built.failed[:_SHOWN])
        console.say("build", f"{len(built.failed)} of {built.nodes} failed: {names}")
    else:
        console.say("build", f"{built.nodes} models, seeds and tests passed")
    for sentence in built.over_budget:
        console.say("", f"warning: {sentence}")


def say_verdict(verdict: Verdict) -> None:
    """Say what was checked.

    Raises:
        GateBlocked: the verdict is not a pass.
    """
    for check in verdict.warnings:
        console.say("gate", "warning: " + describe(check))
    if not verdict.passed:
        lines = [describe(check) for check in verdict.blocking[:_SHOWN]]
        more = len(verdict.blocking) - len(lines)
        raise GateBlocked(
            f"The gate blocks run {verdict.run.run_id}:\n"
            + "\n".join(f"           - {line}" for line in lines)
            + (f"\n           and {more} more, in ops.gate_results" if more else ""),
            kept="The published marts are untouched; the candidate stays for inspection.",
            todo=f"See {RUNBOOK}; when the cause is mended, run `make run` again.",
        )
    console.say("gate", f"{len(verdict.checks)} checks, {len(verdict.warnings)} warnings: passed")


def say_published(publication: Publication) -> None:
    inserted, updated, deleted = (
        sum(getattr(change, kind) for change in publication.changes)
        for kind in ("inserted", "updated", "deleted")
    )
    console.say(
        "publish",
        f"publication {publication.publication_id}, {len(publication.changes)} marts at once:"
        f" {inserted:,} rows inserted, {updated:,} updated, {deleted:,} deleted",
    )
    if unchanged := sum(change.lineage_updated for change in publication.changes):
        console.say("", f"{unchanged:,} rows more are as they were, from a newer delivery")


def say_held(hold: Hold) -> None:
    console.say(
        "publish", f"held since {hold.set_at:%Y-%m-%d %H:%M} by {hold.set_by}: {hold.reason}"
    )
    console.say("", "the candidate passed and waits; `make resume REASON=...` lifts the hold")


def describe(check: Check) -> str:
    """What did not pass, where, why it matters, whose it is, and what to do."""
    text = f"{check.subject}: {check.name}: {check.observed}, expected {check.expected}"
    if check.failing_rows:
        text += f"; {check.failing_rows:,} rows"
    if check.samples:
        text += f", such as {', '.join(check.samples)}"
    if check.partitions:
        text += f"; partitions: {check.partitions}"
    if check.note:
        text += f" ({check.note})"
    if check.owner:
        text += f"; owner: {check.owner}"
    return text + (f"; {check.hint}" if check.hint else "")
