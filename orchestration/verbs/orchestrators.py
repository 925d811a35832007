"""Verbs about Airflow on this machine."""

from __future__ import annotations

import click

from orchestration import console, settings


@click.command()
def airflow() -> None:
    """Start Airflow's processes and print where it is."""
    from orchestration import warehouse
    from orchestration.airflow_server import components
    from orchestration.build import parse

    given = settings.load()
    warehouse.up(given)
    parse(given, write=True)
    home = components.start(given)
    console.say("airflow", f"{home.address}, user admin, password in {home.passwords}")


@click.command("airflow-down")
def airflow_down() -> None:
    """Stop Airflow's processes; its metadata stays."""
    from orchestration.airflow_server import home
    from orchestration.daemons import processes

    stopped = processes.stop(home.of(settings.load()))
    console.say("airflow", f"stopped {', '.join(stopped)}" if stopped else "it was not running")
