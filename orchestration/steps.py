"""The steps of a run, each as one task calls it: opens the warehouse, does it, says what it did.

Reads and writes what the step does. Between tasks goes only the run's number: the state of a run
stands in the ledger. Killed: as with the step itself; the task's next attempt starts it again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from orchestration import database
from orchestration.building.build import STARTED, Listener
from orchestration.errors import UsageError

# They tell their last argument of each node's start and end.
LISTENING = ("build",)


def find_new() -> list[list[str]]:
    """What waits at the landing place, in groups that one task each takes in; often none."""
    from orchestration.ingesting.waiting import groups
    from orchestration.verbs import open_warehouse

    with open_warehouse() as (given, connection):
        return groups(given, connection)


def take_in(sources: list[str]) -> dict[str, list[str]]:
    """Ingest what waits of `sources`: the sources that brought rows, and the rejected files."""
    from orchestration.run import ingest_and_say
    from orchestration.verbs import open_warehouse

    with open_warehouse(tells=True) as (given, connection):
        deliveries = ingest_and_say(given, connection, sources)
    rejected = [d for d in deliveries if d.outcome == "rejected" and d.severity == "critical"]
    loaded = {d.source for d in deliveries if d.outcome == "loaded"}
    return {"loaded": sorted(loaded), "rejected": [d.file.uri for d in rejected]}


def plan() -> int | None:
    """Plan a run; its number, or None when there is nothing to do."""
    from orchestration.run import plan_and_say
    from orchestration.verbs import open_warehouse

    with open_warehouse("run") as (given, connection):
        planned = plan_and_say(given, connection)
    return planned[0].run_id if planned else None


def selected(run_id: int) -> list[str]:
    """The nodes of dbt's that the run builds or tests."""
    from orchestration.verbs import open_warehouse

    with open_warehouse() as (_, connection):
        rows = connection.execute(
            "select unique_id from ops.run_nodes where run_id = %s order by 1", [run_id]
        ).fetchall()
    return [unique_id for (unique_id,) in rows]


def build(run_id: int, listener: Listener, only: Collection[str] | None = None) -> tuple[str, ...]:
    """Build and test the run's candidate, or `only` some nodes; what failed or was skipped."""
    from orchestration.building.build import build
    from orchestration.narrate import say_built
    from orchestration.runs import recall
    from orchestration.verbs import open_warehouse

    with open_warehouse("run") as (given, connection):
        if _is_published(connection, run_id):
            return _tell_evidence(connection, run_id, listener)
        run = recall(connection, run_id)
        built = build(given, connection, run, listener=listener, only=only)
        say_built(built)
    return built.failed


def gate(run_id: int | None) -> None:
    """Judge the candidate.

    Raises:
        GateBlocked: it does not pass.
        UsageError: there is no run, because it could not be planned.
    """
    if run_id is None:
        raise UsageError("No run was planned.", todo="The log of task `plan` says why.")
    from orchestration.auditing.gate import gate
    from orchestration.narrate import say_verdict
    from orchestration.runs import recall
    from orchestration.verbs import open_warehouse

    with open_warehouse("run") as (given, connection):
        if _is_published(connection, run_id):
            return
        say_verdict(gate(given, connection, recall(connection, run_id)))


def publish(run_id: int) -> list[str]:
    """Publish the audited candidate; the marts that it consists of, none if it was done before."""
    from orchestration.auditing.gate import recall as recall_verdict
    from orchestration.narrate import say_published
    from orchestration.publishing.publish import publish
    from orchestration.runs import recall
    from orchestration.verbs import open_warehouse

    with open_warehouse("run") as (given, connection):
        if _is_published(connection, run_id):
            return []
        verdict = recall_verdict(connection, recall(connection, run_id))
        publication = publish(given, connection, verdict)
        say_published(publication)
    return [change.mart for change in publication.changes]


def plan_backfill(asked: dict[str, Any]) -> dict[str, Any]:
    """Plan a backfill, or go on with one.

    Args:
        asked: `resume` with the number of one and `repin`, and the words of `Request.of`.

    Returns:
        Its number, None if it was only looked at; and number and dates of each chunk to do.
    """
    from orchestration.backfills import backfill
    from orchestration.backfills import run as backfill_run
    from orchestration.backfills.narrate import say_start, show_outline
    from orchestration.backfills.outline import Request
    from orchestration.verbs import open_warehouse

    asked = dict(asked)
    resume, repin = asked.pop("resume"), asked.pop("repin")
    with open_warehouse() as (given, connection):
        manifest = backfill_run.read_project(given)
        if resume is not None:
            going = asked["keep_going"]
            found = backfill_run.take_up(
                given, connection, resume, manifest, repin=repin, keep_going=going
            )
        elif asked["dry_run"] == "1":
            show_outline(backfill_run.look(given, connection, Request.of(**asked)))
            return {"backfill": None, "chunks": []}
        else:
            found = backfill_run.begin(given, connection, Request.of(**asked), manifest)
        every = backfill.chunks(connection, found.backfill_id)
        left = [[one.number, str(one.range)] for one in every if not one.is_done(found)]
        say_start(found, every, len(left))
    return {"backfill": found.backfill_id, "chunks": left}


def do_chunk(backfill_id: int, number: int) -> None:
    """Plan, build, gate and publish one chunk of a backfill, unless that is done already.

    Raises:
        GateBlocked: it does not pass.
        BackfillStopped: the backfill is paused or cancelled, or another chunk was blocked.
    """
    from orchestration.backfills import backfill
    from orchestration.backfills import run as backfill_run
    from orchestration.backfills.narrate import blocked_error
    from orchestration.verbs import open_warehouse

    with open_warehouse(tells=True) as (given, connection):
        found = backfill.recall(connection, backfill_id)
        done = backfill_run.do_one(
            given, connection, found, number, backfill_run.read_project(given)
        )
        if done.verdict and not done.verdict.passed:
            raise blocked_error(found, done.verdict)


def finish_backfill(backfill_id: int) -> None:
    """End a backfill whose chunks are all done; staged: audit and publish them together."""
    from orchestration.backfills import backfill
    from orchestration.backfills import run as backfill_run
    from orchestration.verbs import open_warehouse

    with open_warehouse(tells=True) as (given, connection):
        found = backfill.recall(connection, backfill_id)
        backfill_run.end(given, connection, found, backfill_run.read_project(given))


def watch() -> None:
    """Look once at everything that was promised, raise and resolve alerts, tell people.

    Raises:
        UsageError: a contract or the routes cannot be read; what could be found is an alert.
    """
    from orchestration.verbs import open_warehouse
    from orchestration.watching.watch import watch

    with open_warehouse() as (given, connection):
        watch(given, connection)


def retry() -> list[str]:
    """Sources whose deliveries nobody published and that are to be tried once more; often none."""
    from orchestration.verbs import open_warehouse
    from orchestration.watching.retry import claim

    with open_warehouse() as (given, connection):
        return claim(given, connection)


def late(what: str, owner: str) -> None:
    """Note that what an orchestrator runs has not ended in time, and tell people."""
    from orchestration.alerting import trouble
    from orchestration.verbs import open_warehouse

    with open_warehouse(tells=True) as (_, connection):
        trouble.missed_deadline(connection, what, owner)


def abandon(run_id: int) -> None:
    """Let nothing come of a run that nobody waits for any more; one that ended stays as it is."""
    from orchestration.verbs import open_warehouse

    with open_warehouse() as (_, connection):
        connection.execute(
            "update ops.runs set state = 'superseded', finished_at = now()"
            " where run_id = %s and state in ('planned', 'built', 'passed')",
            [run_id],
        )


def account(run_id: int) -> str:
    """What the run did and why, as Markdown; the pages in `var/reports` are written anew."""
    from orchestration.publishing.account import account
    from orchestration.verbs import open_warehouse

    with open_warehouse() as (given, connection):
        return account(given, connection, run_id)


def report() -> str:
    """Write the page about everything anew; its address, or why there is none."""
    from orchestration import console
    from orchestration.overview.page import refresh
    from orchestration.verbs import open_warehouse

    with open_warehouse() as (given, connection):
        link = refresh(given, connection)
    console.say("report", link)
    return link


def report_link() -> str:
    """That address in Markdown, before any page is written."""
    from orchestration import pages, settings

    link = pages.overview_link(settings.load())
    return f"[The state of everything]({link}): `{link}`"


def _is_published(connection: database.Connection, run_id: int) -> bool:
    """Whether a task that was cleared has nothing left to do: what is published stays so."""
    query = "select from ops.runs where run_id = %s and state = 'published'"
    return connection.execute(query, [run_id]).rowcount == 1


def _tell_evidence(
    connection: database.Connection, run_id: int, listener: Listener
) -> tuple[str, ...]:
    query = "select unique_id, status from ops.build_results where run_id = %s"
    for unique_id, status in connection.execute(query, [run_id]):
        listener(unique_id, STARTED)
        listener(unique_id, status)
    return ()
