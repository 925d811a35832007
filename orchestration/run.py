"""All steps in one process: ingest, plan, build, gate, publish.

Reads and writes what the steps do. Killed anywhere: run it again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration import console, database
from orchestration.auditing.auditor import auditor
from orchestration.auditing.gate import gate
from orchestration.building.build import build, parse
from orchestration.ingesting.deliveries import Delivery
from orchestration.ingesting.ingest import ingest
from orchestration.narrate import (
    say_built,
    say_deliveries,
    say_held,
    say_plan,
    say_published,
    say_verdict,
)
from orchestration.planning.plan import due, plan
from orchestration.publishing.publish import Publication, publish
from orchestration.publishing.rollback import active_hold
from orchestration.runs import Run
from orchestration.settings import Settings
from orchestration.show import show_works

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


@dataclass(frozen=True)
class Outcome:
    """What a run did; `publication` is None when there was nothing to do, or a hold."""

    deliveries: tuple[Delivery, ...]
    publication: Publication | None
    is_held: bool = False


def run(settings: Settings, connection: database.Connection) -> Outcome:
    """From what has landed to one publication, or to nothing at all.

    Raises:
        GateBlocked: the candidate did not pass; the published marts are untouched.
        WarehouseBusy: another run is active.
    """
    with database.turn(connection):
        deliveries = tuple(ingest_and_say(settings, connection))
        planned = plan_and_say(settings, connection)
        if planned is None:
            return Outcome(deliveries, None)
        this, manifest = planned
        with auditor(settings, connection, this) as ready:  # it loads its library while dbt builds
            say_built(build(settings, connection, this, manifest))
            verdict = gate(settings, connection, this, ready)
        say_verdict(verdict)
        if hold := active_hold(connection):
            say_held(hold)
            return Outcome(deliveries, None, is_held=True)
        publication = publish(settings, connection, verdict)
        say_published(publication)
        return Outcome(deliveries, publication)


def ingest_and_say(
    settings: Settings, connection: database.Connection, only: Collection[str] | None = None
) -> list[Delivery]:
    deliveries = ingest(settings, connection, only)
    say_deliveries(deliveries)
    return deliveries


def plan_and_say(
    settings: Settings, connection: database.Connection, *, every_model: bool = False
) -> tuple[Run, Manifest] | None:
    """Plan a run and say why; None when there is nothing to do.

    Args:
        every_model: say for each model whether it will be rebuilt, and why.
    """
    reason = due(settings, connection)
    if reason is None:
        console.say("plan", "nothing was delivered or changed since the last publication")
        return None
    with console.progress("plan", "reading the dbt project", None):
        manifest = parse(settings, write=settings.runner != "shell")
    planned = plan(settings, connection, reason, manifest)
    say_plan(planned, settings.readers_wait_seconds)
    if every_model:
        show_works(planned.works)
    return (planned.run, manifest) if planned.run else None
