"""An orchestrator's metadata: a database of the embedded server, owned by a role of its own.

Creates role, password file and database. Killed: the next start does what is missing.
"""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql

from orchestration.daemons.place import Place, write_secret
from orchestration.settings import Settings
from orchestration.warehouse_server import embedded


def create(settings: Settings, place: Place, name: str) -> bool:
    """Have a database and a role called `name`; True when the database is new."""
    server = embedded.locate(settings)
    embedded.start(server)
    with psycopg.connect(
        host=embedded.HOST, port=server.port, user=embedded.NAME, dbname="postgres",
        passfile=str(server.passfile), password="", autocommit=True,
    ) as connection:  # fmt: skip
        return _create(connection, place, name)


def _create(connection: psycopg.Connection[tuple[object, ...]], place: Place, name: str) -> bool:
    quoted = sql.Identifier(name)
    exists = connection.execute("select from pg_roles where rolname = %s", [name]).rowcount
    if not (exists and place.passfile.exists()):
        password = secrets.token_urlsafe(24)
        verb = sql.SQL("alter" if exists else "create")
        connection.execute(
            sql.SQL("{} role {} login password {}").format(verb, quoted, sql.Literal(password))
        )
        write_secret(place.passfile, f"{embedded.HOST}:*:{name}:{name}:{password}\n")
    if connection.execute("select from pg_database where datname = %s", [name]).rowcount:
        return False
    connection.execute(sql.SQL("create database {} owner {}").format(quoted, quoted))
    return True
