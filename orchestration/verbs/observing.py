"""Verbs for those who watch the pipeline from outside: metrics and lineage."""

from __future__ import annotations

import click

from orchestration import console, settings


@click.command()
def metrics() -> None:
    """Serve what Prometheus scrapes, from the ledger, until it is ended."""
    from orchestration.metrics import server

    with server.served(settings.load()) as address:
        console.say("metrics", f"{address}; Ctrl-C ends it")
        server.wait()


@click.command()
@click.option("--mart", required=True, help="Its name, as in the schema published.")
@click.option("--column", help="Follow this column only.")
def lineage(mart: str, column: str | None) -> None:
    """Show the way back from a mart, or one of its columns, to the deliveries."""
    from orchestration.lineage.way import way_back
    from orchestration.verbs import open_warehouse

    with open_warehouse() as (given, connection):
        console.show(way_back(given, connection, mart, column))
