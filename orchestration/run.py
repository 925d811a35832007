"""All steps in one process: ingest, plan, build, gate, publish.

Reads and writes what the steps do. Killed anywhere: run it again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration import console, database
from orchestration.build import Built, build, parse
from orchestration.deliveries import Delivery
from orchestration.errors import GateBlocked
from orchestration.gate import RUNBOOK, Check, Verdict, gate
from orchestration.ingest import ingest
from orchestration.plan import Run, due, plan
from orchestration.publish import Publication, publish
from orchestration.settings import Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """What a run did; `publication` is None when there was nothing to do."""

    deliveries: tuple[Delivery, ...]
    publication: Publication | None


def run(settings: Settings, connection: database.Connection) -> Outcome:
    """From what has landed to one publication, or to nothing at all.

    Raises:
        GateBlocked: the candidate did not pass; the published marts are untouched.
        WarehouseBusy: another run is active.
    """
    with database.only_one(connection, "run"):
        deliveries = tuple(ingest_and_say(settings, connection))
        planned = plan_and_say(settings, connection)
        if planned is None:
            return Outcome(deliveries, None)
        this, manifest = planned
        say_built(build(settings, connection, this, manifest))
        verdict = gate(settings, connection, this)
        say_verdict(verdict)
        publication = publish(connection, verdict)
        say_published(publication)
        return Outcome(deliveries, publication)


def ingest_and_say(settings: Settings, connection: database.Connection) -> list[Delivery]:
    deliveries = ingest(settings, connection)
    say_deliveries(deliveries)
    return deliveries


def say_deliveries(deliveries: list[Delivery]) -> None:
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


def plan_and_say(
    settings: Settings, connection: database.Connection
) -> tuple[Run, Manifest] | None:
    reason = due(settings, connection)
    if reason is None:
        console.say("plan", "nothing was delivered or changed since the last publication")
        return None
    with console.progress("plan", "reading the dbt project", None):
        manifest = parse(settings)
    this = plan(settings, connection, reason, manifest)
    why = {
        "first": "nothing is published yet: everything is built",
        "code": "the project's code changed: everything is built",
        "changes": "dates changed: "
        + ", ".join(f"{source} {len(dates)}" for source, dates in sorted(reason.changed.items())),
    }
    console.say("plan", f"run {this.run_id}, deliveries up to {this.as_of}; {why[this.kind]}")
    return this, manifest


def say_built(built: Built) -> None:
    if built.failed:
        names = ", ".join(built.failed[:_SHOWN])
        console.say("build", f"{len(built.failed)} of {built.nodes} failed: {names}")
    else:
        console.say("build", f"{built.nodes} models, seeds and tests passed")


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


def describe(check: Check) -> str:
    """One line on a check that did not pass."""
    text = f"{check.subject}: {check.name}: {check.observed}, expected {check.expected}"
    if check.failing_rows:
        text += f"; {check.failing_rows:,} rows"
    if check.samples:
        text += f", such as {', '.join(map(str, check.samples[:3]))}"
    return text + (f" ({check.note})" if check.note else "")
