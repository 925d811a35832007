"""Verbs for those who work on the dbt project itself."""

from __future__ import annotations

import click

from orchestration import console
from orchestration.verbs import open_warehouse


@click.command()
def state() -> None:
    """Write the published code's manifest, for dbt's --state and --defer."""
    from orchestration.building.state import write

    with open_warehouse() as (given, connection):
        folder = write(given, connection)
    console.say("state", f"written to {folder}")
    console.say("next", f"dbt build --select state:modified+ --defer --state {folder}")


@click.command()
def docs() -> None:
    """Build the documentation of all models as one page."""
    from orchestration.building.document import document

    with open_warehouse() as (given, connection):
        console.say("docs", f"open {document(given, connection)}")
