"""What tests do with a warehouse again and again: a whole run, a look into it."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestration import database
from orchestration.publishing import digest
from orchestration.run import Outcome, run
from orchestration.settings import PROJECT, Settings
from orchestration.warehouse_server import warehouse


def go(given: Settings) -> Outcome:
    """All steps, as `make run` does them."""
    with warehouse.ready(given) as connection:
        return run(given, connection)


def query(given: Settings, text: str) -> list[tuple[object, ...]]:
    with database.connect(given) as connection:
        return connection.execute(text).fetchall()


def digests(given: Settings) -> dict[str, tuple[int, str]]:
    """Rows and digest of each published mart."""
    with database.connect(given) as connection:
        return {d.mart: (d.rows, d.value) for d in digest.published(connection)}


def leave_alone(connection: database.Connection) -> None:
    """Let the last thing that was done be twenty minutes ago."""
    for table, column in (
        ("deliveries", "recorded_at"), ("runs", "planned_at"), ("runs", "finished_at"),
        ("build_results", "recorded_at"),
    ):  # fmt: skip
        connection.execute(f"update ops.{table} set {column} = now() - interval '20 minutes'")


def copy_project(folder: Path) -> Path:
    """A copy of the project, in a folder that is not there yet, for a test to change."""
    ignored = shutil.ignore_patterns(".venv", ".git", "var", "landing", "target", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    return folder
