"""Verbs about the warehouse's server."""

from __future__ import annotations

import shlex
import sys

import click

from orchestration import console, database, settings
from orchestration.warehouse_server import warehouse


@click.command()
def up() -> None:
    """Start the embedded warehouse and apply the ledger's migrations."""
    done = warehouse.up(settings.load())
    console.say("up", "; ".join(done) if done else "the warehouse is up and current")


@click.command()
def down() -> None:
    """Stop the embedded warehouse; its data stays."""
    from orchestration.warehouse_server import embedded

    given = settings.load()
    _stop_orchestrators(given)
    stopped = embedded.stop(embedded.locate(given))
    console.say("down", "stopped" if stopped else "it was not running")


@click.command()
def status() -> None:
    """Show where the warehouse is, the latest runs and what is published."""
    from orchestration.status import status

    if not status(settings.load()):
        sys.exit(1)


@click.command()
@click.option("--sql", "statement", help="A statement to run instead of a session.")
def psql(statement: str | None) -> None:
    """Open psql on the warehouse."""
    sys.exit(warehouse.psql(settings.load(), statement))


@click.command()
def env() -> None:
    """Print what a shell needs to run dbt here: eval "$(make -s env)"."""
    from orchestration.building.build import environment

    for name, value in environment(settings.load(), run_id=None).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command("clean-data")
def clean_data() -> None:
    """Delete the embedded warehouse with all its data; landed files stay."""
    from orchestration.errors import UsageError
    from orchestration.warehouse_server import embedded

    given = settings.load()
    if not database.is_embedded(given):
        raise UsageError(
            "WAREHOUSE_URL or PG* point at a warehouse that is not ours to delete.",
            kept="Nothing was deleted.",
            todo="Drop its schemas yourself, or unset the variables.",
        )
    _stop_orchestrators(given)
    embedded.remove(embedded.locate(given))
    console.say("clean", "the embedded warehouse is deleted; files in the landing place stay")


def _stop_orchestrators(given: settings.Settings) -> None:
    """Airflow and Prefect keep their history in the server that goes away."""
    from orchestration.daemons.place import Place
    from orchestration.daemons.processes import stop

    for name in ("airflow", "prefect"):
        place = Place(given.var / name)
        if place.processes.exists() and (stopped := stop(place)):
            console.say(name, f"stopped {', '.join(stopped)}")
