"""Verbs about backfills: a range of dates, rebuilt and published chunk by chunk."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from orchestration import console
from orchestration.verbs import open_warehouse

_DATE = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--start", type=_DATE, help="First date.")
@click.option("--end", type=_DATE, help="Last date, included.")
@click.option("--chunk", default="auto", show_default=True, help="day, week, month, 7d or auto.")
@click.option("--models", default="", help="Only these and what hangs on them; commas between.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--max-active", default=1, help="Chunks that runners may have in hand.")
@click.option("--dry-run", type=click.Choice(["1", "diff"]), help="Only plan, or only compare.")
@click.option("--allow-gaps", "allows_gaps", is_flag=True, help="Days without delivery are right.")
@click.option("--backwards", is_flag=True, help="Newest chunk first.")
@click.option("--stage", is_flag=True, help="Publish all chunks at once, at the end.")
@click.option("--keep-going", is_flag=True, help="Past chunks that the gate blocks.")
@click.option("--resume", type=int, help="Go on with this backfill.")
@click.option("--repin", is_flag=True, help="Accept changed code, and start over.")
def backfill(
    start: datetime | None, end: datetime | None, resume: int | None, *, repin: bool,
    dry_run: str | None, **asked: Any,
) -> None:  # fmt: skip
    """Rebuild, audit and publish a range of dates, chunk by chunk."""
    from orchestration.backfills import run as backfill_run
    from orchestration.backfills.narrate import show_outline
    from orchestration.backfills.outline import Request

    if resume is not None:
        with open_warehouse(tells=True) as (given, connection):
            going = bool(asked["keep_going"])
            backfill_run.go_on(given, connection, resume, repin=repin, keep_going=going)
        return
    first, last = (day and day.date() for day in (start, end))
    models = asked.pop("models").split(",")
    request = Request.of(first, last, dry_run=dry_run, models=models, **asked)
    with open_warehouse(tells=True) as (given, connection):
        if dry_run == "1":
            show_outline(backfill_run.look(given, connection, request))
        else:
            backfill_run.start(given, connection, request)


@click.command("backfill-pause")
@click.option("--backfill", "backfill_id", type=int, help="Which; else the one that runs.")
@click.option("--reason", default="asked for", help="Why, for the audit log.")
def backfill_pause(backfill_id: int | None, reason: str) -> None:
    """Stop a backfill before its next chunk."""
    from orchestration.backfills.control import pause

    with open_warehouse() as (given, connection):
        found = pause(given, connection, backfill_id, reason)
    console.say("backfill", f"{found.backfill_id} pauses before its next chunk")
    console.say("next", f"make backfill RESUME={found.backfill_id}")


@click.command("backfill-cancel")
@click.option("--backfill", "backfill_id", type=int, help="Which; else the one that runs.")
@click.option("--reason", default="asked for", help="Why, for the audit log.")
def backfill_cancel(backfill_id: int | None, reason: str) -> None:
    """Stop a backfill before its next chunk, for good; what it published stays."""
    from orchestration.backfills.control import cancel

    with open_warehouse() as (given, connection):
        found = cancel(given, connection, backfill_id, reason)
    console.say("backfill", f"{found.backfill_id} is cancelled; what it published stays")
