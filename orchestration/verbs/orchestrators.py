"""Verbs about Airflow and Prefect on this machine."""

from __future__ import annotations

import click

from orchestration import console, settings


@click.command()
def airflow() -> None:
    """Start Airflow's processes and print where it is."""
    from orchestration.airflow_server import components
    from orchestration.building.build import parse
    from orchestration.warehouse_server import warehouse

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


@click.command()
def prefect() -> None:
    """Start Prefect's server, serve the deployments, and print where it is."""
    from orchestration.prefect_server import components
    from orchestration.warehouse_server import warehouse

    given = settings.load()
    warehouse.up(given)
    home = components.start(given)
    console.say("prefect", f"{home.address}, login in {home.folder / 'password'}, user admin")


@click.command("prefect-run")
def prefect_run() -> None:
    """Run the flows ingest and warehouse once, with a server for as long as that takes."""
    import subprocess
    import sys

    from orchestration.prefect_server import components
    from orchestration.warehouse_server import warehouse

    given = settings.load()
    warehouse.up(given)
    with components.borrowed(given) as variables:
        quiet = {"AIRWORTHY_ECHO": "1", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.flows.once"],
            env=variables | quiet,
            cwd=settings.PROJECT,
        )
    sys.exit(done.returncode)


@click.command("prefect-down")
def prefect_down() -> None:
    """Stop Prefect's processes; its history stays."""
    from orchestration.daemons import processes
    from orchestration.prefect_server import home

    stopped = processes.stop(home.of(settings.load()))
    console.say("prefect", f"stopped {', '.join(stopped)}" if stopped else "it was not running")
