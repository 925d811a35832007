"""Verbs about what was promised: look whether it is kept, and let an alert be quiet."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from orchestration import console
from orchestration.errors import UsageError
from orchestration.verbs import open_warehouse
from orchestration.verbs.steps import run_and_report


@click.command()
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]),
    help="Only show what would be late at this instant (UTC); raise and tell nothing.",
)
@click.option("--retry", is_flag=True, help="Run what arrived and nobody published, once more.")
def watch(at: datetime | None, retry: bool) -> None:
    """Show what is due, late and missing; raise and resolve alerts, and tell people."""
    from orchestration import steps
    from orchestration.watching import narrate as narrate_watch
    from orchestration.watching import watch

    if at is None:
        try:
            steps.watch()
        finally:
            if retry and steps.retry():
                run_and_report()
        return
    if retry:
        raise UsageError(
            "AT only looks, RETRY starts a run.", kept="Nothing was done.", todo="Give one of them."
        )
    with open_warehouse() as (given, connection):
        found = watch.look(given, connection, at.replace(tzinfo=UTC))
        narrate_watch.show_look(found)
    raised = watch.alerts_of(found)
    console.say("watch", f"{len(raised)} alerts would be open" if raised else "no alert would be")
    for alert in raised:
        console.say("", f"{alert.severity}: {alert.what}")


@click.command()
@click.option("--alert", required=True, help="Its number or key, as `make watch` shows them.")
@click.option("--until", required=True, help='45m, 3h, 2d, or an instant "2026-01-31 08:00" (UTC).')
@click.option("--reason", default="", help="Why; kept in the audit log.")
def silence(alert: str, until: str, reason: str) -> None:
    """Tell nobody of an alert until then; if it lasts longer, they hear of it."""
    from orchestration.alerting.alerts import silence

    with open_warehouse() as (given, connection):
        key, end = silence(given, connection, alert, until, reason)
    console.say("silence", f"{key}: nobody is told until {end:%Y-%m-%d %H:%M} UTC")
