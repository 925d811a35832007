"""`make up`: have a warehouse that answers and whose ledger is current."""

from __future__ import annotations

import subprocess

import psycopg

from orchestration import database
from orchestration.errors import AirworthyError
from orchestration.migrations import migrate
from orchestration.settings import Settings, environment_with
from orchestration.warehouse_server import embedded


def up(settings: Settings) -> list[str]:
    """Start the embedded warehouse where it is used, apply migrations; says what was done."""
    done = []
    if database.is_embedded(settings):
        server = embedded.locate(settings)
        if embedded.start(server):
            done.append(f"started the embedded PostgreSQL on {embedded.HOST}:{server.port}")
        _create_database(settings)
    if migrate.migrate(settings):
        done.append(f"migrated the ledger to {migrate.newest()}")
    return done


def ready(settings: Settings) -> database.Connection:
    """A connection to a warehouse that is up; starts the embedded one when it is not."""
    up(settings)
    return database.connect(settings, name="main")


def psql(settings: Settings, statement: str | None) -> int:
    """Run psql against the warehouse, with `statement` or as a session; psql's exit code."""
    program = "psql"
    if database.is_embedded(settings):
        program = str(embedded.locate(settings).binaries / "psql")
    arguments = ["-v", "ON_ERROR_STOP=1", "-c", statement] if statement else []
    environment = environment_with(database.address(settings))
    try:
        return subprocess.run([program, *arguments], env=environment).returncode
    except FileNotFoundError:
        raise AirworthyError(
            "There is no psql on this machine.", todo="Install PostgreSQL's client, then try again."
        ) from None


def _create_database(settings: Settings) -> None:
    try:
        with database.connect(settings, name="up", dbname="postgres") as connection:
            query = "select from pg_database where datname = %s"
            if connection.execute(query, [embedded.NAME]).fetchone() is None:
                connection.execute(f"create database {embedded.NAME}")
    except psycopg.errors.DuplicateDatabase:
        pass  # another process made it in between
