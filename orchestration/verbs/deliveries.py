"""Verbs about what arrived, and what was held back."""

from __future__ import annotations

import sys

import click

from orchestration import console, settings
from orchestration.verbs import open_warehouse, say_rejected


@click.command()
@click.option("--source", help="Only this source.")
def quarantine(source: str | None) -> None:
    """List rejected deliveries, and quarantined rows by reason, with samples."""
    from orchestration.ingesting.replay import quarantine
    from orchestration.status import show_held

    with open_warehouse() as (_, connection):
        show_held(quarantine(connection, source))


@click.command()
@click.option("--delivery", "delivery_id", type=int, help="The delivery to load again.")
@click.option("--source", help="All of a source's that hold something back.")
@click.option("--reason", default="mended", show_default=True, help="Why, for the audit log.")
def replay(delivery_id: int | None, source: str | None, reason: str) -> None:
    """Load deliveries again, after a contract or a file was mended."""
    from orchestration.ingesting.replay import replay
    from orchestration.narrate import say_deliveries

    if (delivery_id is None) == (source is None):
        raise click.UsageError("Name either a delivery or a source.")
    with open_warehouse(tells=True) as (given, connection):
        done = replay(given, connection, delivery_id=delivery_id, source=source, reason=reason)
        say_deliveries(done)
        say_rejected(done)


@click.command()
@click.option("--delivery", "delivery_id", type=int, required=True, help="What to take out.")
@click.option("--reason", required=True, help="Why, for the audit log.")
def withdraw(delivery_id: int, reason: str) -> None:
    """Take a delivery out: its slice falls back to the one before."""
    from orchestration.ingesting.replay import withdraw

    with open_warehouse(tells=True) as (given, connection):
        withdraw(given, connection, delivery_id, reason)
        console.say("withdraw", f"delivery {delivery_id} is out; `make run` publishes without it")


@click.command()
@click.option("--against", help="A git revision to compare versions with.")
def contracts(against: str | None) -> None:
    """Check all contracts: what is wrong, with line; and what a new version breaks."""
    from orchestration.ingesting.contract_checks import check

    given = settings.load()
    problems = check(given.project, against)
    for problem in problems:
        console.err.print(str(problem), markup=False)
    if problems:
        sys.exit(2)
    console.say("contracts", "all contracts are well-formed and compatible")
