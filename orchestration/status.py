"""`make status`: where the warehouse is, what has arrived, what runs, what is published.

Reads the ledger, writes nothing.
"""

from __future__ import annotations

from rich.table import Table

from orchestration import console, database
from orchestration.alerting.alerts import open_alerts
from orchestration.ingesting.replay import Held
from orchestration.migrations import migrate
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded
from orchestration.watching import narrate as narrate_watch


def status(settings: Settings) -> bool:
    """Print the state of everything; False when the warehouse does not answer."""
    kind = "embedded" if database.is_embedded(settings) else "external"
    if kind == "embedded" and not embedded.is_running(embedded.locate(settings)):
        console.say("status", "the embedded warehouse is not running; `make up` starts it")
        return False
    with database.connect(settings, name="status") as connection:
        info = connection.info
        version = connection.execute("show server_version").fetchone()
        console.say(
            "status",
            f"{kind} PostgreSQL {version[0] if version else ''} at {info.host}:{info.port},"
            f" database {info.dbname}, user {info.user}",
        )
        migrate.require(connection)
        _totals(connection)
        _backfills(connection)
        narrate_watch.say_alerts(open_alerts(connection))
        _runs(connection)
    return True


def show_held(held: Held) -> None:
    """Print what is held back: rejected deliveries, and rows by reason."""
    if not held.rejected and not held.rows:
        console.say("held", "nothing is held back")
        return
    for row in held.rejected:
        console.out.print(f"[red]rejected[/] delivery {row.delivery_id} ", end="")
        console.out.print(f"{row.uri}: {row.reason}", markup=False)
    for row in held.rows:
        console.out.print(f"[yellow]{row.rows:,} rows[/] of ", end="")
        console.out.print(
            f"{row.source}, from delivery {row.delivery_id} on: {row.reason}", markup=False
        )
        for sample in row.samples:
            console.out.print(f"    {sample}", markup=False, style="dim")
    console.say("next", "after mending: make replay DELIVERY=<n>, or make replay SOURCE=<name>")


def _totals(connection: database.Connection) -> None:
    row = connection.execute(
        "select count(*), count(*) filter (where outcome = 'rejected'),"
        " coalesce(sum(rows_loaded), 0), coalesce(sum(rows_quarantined), 0) from ops.deliveries"
    ).fetchone()
    assert row is not None
    console.say(
        "ingest",
        f"{row[0]:,} files looked at, {row[1]:,} rejected; {row[2]:,} rows loaded,"
        f" {row[3]:,} quarantined",
    )
    latest = connection.execute(
        "select publication_id, published_at, as_of from ops.publications"
        " order by publication_id desc limit 1"
    ).fetchone()
    if latest is None:
        console.say("publish", "nothing is published yet; `make run` does it")
        return
    console.say(
        "publish",
        f"publication {latest[0]} of {latest[1]:%Y-%m-%d %H:%M} UTC, deliveries up to {latest[2]}",
    )


def _backfills(connection: database.Connection) -> None:
    for number, first, last, state, done, every in connection.execute(
        "select backfill_id, backfills.first_date, backfills.last_date, backfills.state,"
        " count(*) filter (where chunks.state in ('published', 'empty')"
        " or (is_staged and chunks.state = 'passed')), count(*)"
        " from ops.backfills inner join ops.backfill_chunk_states as chunks using (backfill_id)"
        " where backfills.state in ('running', 'paused')"
        " group by backfill_id order by backfill_id"
    ):
        console.say(
            "backfill",
            f"{number}, {first} to {last}: {state}, {done} of {every} chunks done;"
            f" make backfill RESUME={number}",
        )


def _runs(connection: database.Connection) -> None:
    table = Table(title="Latest runs", title_justify="left", box=None, padding=(0, 1))
    for name in ("run", "kind", "state", "runner", "requested by", "planned (UTC)"):
        table.add_column(name, no_wrap=True)
    table.add_column("+ / ~ / - rows", justify="right", no_wrap=True)
    rows = connection.execute(
        "select run_id, kind, state, runner, requested_by, planned_at,"
        " sum(inserted), sum(updated), sum(deleted) from ops.runs"
        " left join ops.publications using (run_id)"
        " left join ops.publication_changes using (publication_id)"
        " group by run_id order by run_id desc limit 5"
    ).fetchall()
    for run_id, kind, state, runner, who, at, *counts in rows:
        changed = " / ".join(f"{count:,}" for count in counts) if counts[0] is not None else ""
        table.add_row(str(run_id), kind, state, runner, who, f"{at:%m-%d %H:%M:%S}", changed)
    if rows:
        console.out.print(table)
