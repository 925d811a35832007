"""Verbs on what was published: look, compare, go back, go on, tidy up."""

from __future__ import annotations

import click

from orchestration import console
from orchestration.errors import UsageError
from orchestration.verbs import open_warehouse


@click.command()
def report() -> None:
    """Write one page with the state of everything."""
    from orchestration import pages
    from orchestration.overview.page import write

    with open_warehouse() as (given, connection):
        console.say("report", f"{write(given, connection).stat().st_size // 1024:,} KiB")
        console.say("next", f"open {pages.overview_link(given)}")


@click.command()
@click.option("--to", type=int, help="The publication to go back to; the one before by default.")
@click.option("--reason", default="", help="Why; kept in the audit log and shown with the hold.")
def rollback(to: int | None, reason: str) -> None:
    """Publish again what a retained publication held, and hold back what comes later."""
    from orchestration.narrate import say_published
    from orchestration.publishing.rollback import roll_back

    _require(reason, "rollback")
    with open_warehouse(tells=True) as (given, connection):
        say_published(roll_back(given, connection, to, reason))
    console.say("hold", "runs build and gate, and publish nothing until `make resume REASON=...`")


@click.command()
@click.option("--reason", default="", help="Why; kept in the audit log.")
def resume(reason: str) -> None:
    """Lift the hold that a rollback set; the next run publishes again."""
    from orchestration.publishing.rollback import resume

    _require(reason, "resume")
    with open_warehouse(tells=True) as (given, connection):
        hold = resume(given, connection, reason)
    console.say("resume", f"the hold of {hold.set_by} is lifted ({hold.reason}); next: make run")


@click.command()
@click.option("--most", default=20, help="How many.")
def history(most: int) -> None:
    """List what was published when, from which inputs and code, by whom."""
    from orchestration.publishing.history import publications
    from orchestration.show import show_publications

    with open_warehouse() as (_, connection):
        show_publications(publications(connection, most))


@click.command()
@click.option("--publication", type=int, help="A retained one; the coming one by default.")
@click.option("--most", default=3, help="How many rows to show of each mart.")
def diff(publication: int | None, most: int) -> None:
    """Show the rows that the coming or a retained publication changes, old beside new."""
    from orchestration.publishing.history import of_candidate, of_publication
    from orchestration.show import show_difference

    with open_warehouse() as (_, connection):
        if publication is not None:
            found = list(of_publication(connection, publication, most))
        else:
            found = list(of_candidate(connection, most))
        for difference in found:
            show_difference(difference)
        if not found:
            console.say("diff", "no row differs")


@click.command()
def gc() -> None:
    """Forget publications past their retention, and raw rows that only they needed."""
    from orchestration.publishing.retention import collect

    with open_warehouse("run") as (given, connection):
        removed = collect(given, connection)
    console.say(
        "gc",
        f"{removed.publications} publications forgotten; {removed.raw_rows:,} raw rows of"
        f" {removed.deliveries} deliveries removed"
        + (f"; marts that left the project: {', '.join(removed.marts)}" if removed.marts else ""),
    )


def _require(reason: str, verb: str) -> None:
    if not reason.strip():
        raise UsageError(
            f"A {verb} needs a reason.",
            kept="Nothing was changed.",
            todo=f'make {verb} REASON="..."',
        )
