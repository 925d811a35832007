"""Verbs about backfills: a range of dates, rebuilt and published chunk by chunk."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from orchestration import console
from orchestration.errors import UsageError
from orchestration.verbs import open_warehouse

if TYPE_CHECKING:
    from orchestration.outline import Request

_DATE = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--start", type=_DATE, help="First date.")
@click.option("--end", type=_DATE, help="Last date, included.")
@click.option("--chunk", default="auto", show_default=True, help="day, week, month, 7d or auto.")
@click.option("--models", default="", help="Only these and what hangs on them; commas between.")
@click.option("--reason", default="", help="Why; kept in the ledger.")
@click.option("--max-active", default=1, help="Chunks that runners may have in hand.")
@click.option("--dry-run", type=click.Choice(["1", "diff"]), help="Only plan, or only compare.")
@click.option("--allow-gaps", is_flag=True, help="Days without delivery are right.")
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
    from orchestration import backfill_run
    from orchestration.narrate_backfill import show_outline

    if resume is not None:
        with open_warehouse() as (given, connection):
            going = bool(asked["keep_going"])
            backfill_run.go_on(given, connection, resume, repin=repin, keep_going=going)
        return
    if start is None or end is None:
        raise UsageError(
            "A backfill needs a range.",
            kept="Nothing was changed.",
            todo="make backfill START=2013-01-01 END=2013-03-31 (both included), or RESUME=<n>",
        )
    request = _request(start.date(), end.date(), is_comparison=dry_run == "diff", **asked)
    with open_warehouse() as (given, connection):
        if dry_run == "1":
            show_outline(backfill_run.look(given, connection, request))
        else:
            backfill_run.start(given, connection, request)


@click.command("backfill-pause")
@click.option("--backfill", "backfill_id", type=int, help="Which; else the one that runs.")
@click.option("--reason", default="asked for", help="Why, for the audit log.")
def backfill_pause(backfill_id: int | None, reason: str) -> None:
    """Stop a backfill before its next chunk."""
    from orchestration.backfill_control import pause

    with open_warehouse() as (given, connection):
        found = pause(given, connection, backfill_id, reason)
    console.say("backfill", f"{found.backfill_id} pauses before its next chunk")
    console.say("next", f"make backfill RESUME={found.backfill_id}")


@click.command("backfill-cancel")
@click.option("--backfill", "backfill_id", type=int, help="Which; else the one that runs.")
@click.option("--reason", default="asked for", help="Why, for the audit log.")
def backfill_cancel(backfill_id: int | None, reason: str) -> None:
    """Stop a backfill before its next chunk, for good; what it published stays."""
    from orchestration.backfill_control import cancel

    with open_warehouse() as (given, connection):
        found = cancel(given, connection, backfill_id, reason)
    console.say("backfill", f"{found.backfill_id} is cancelled; what it published stays")


def _request(
    first: date, last: date, *, is_comparison: bool, models: str, chunk: str, reason: str,
    max_active: int, allow_gaps: bool, backwards: bool, stage: bool, keep_going: bool,
) -> Request:  # fmt: skip
    from orchestration.outline import Request

    if max_active < 1:
        raise UsageError("MAX_ACTIVE is at least 1.", kept="Nothing was changed.")
    return Request(
        first, last, chunk, tuple(name.strip() for name in models.split(",") if name.strip()),
        backwards, stage or is_comparison, is_comparison, keep_going, max_active, reason,
        allow_gaps,
    )  # fmt: skip
