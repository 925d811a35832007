"""Airflow's metadata: a database of the embedded server, owned by a role of its own.

Creates role, password file and database; has Airflow migrate them when its version changed.
Killed: the next start does what is missing.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from importlib.metadata import version

import psycopg
from psycopg import sql

from orchestration import embedded
from orchestration.airflow_server.home import DATABASE, Home, write_secret
from orchestration.errors import AirworthyError
from orchestration.settings import Settings


def prepare(settings: Settings, home: Home, environment: dict[str, str]) -> bool:
    """Have a database that this version of Airflow can use; True when it had to be migrated.

    Raises:
        AirworthyError: Airflow cannot migrate it.
    """
    server = embedded.locate(settings)
    embedded.start(server)
    with psycopg.connect(
        host=embedded.HOST, port=server.port, user=embedded.NAME, dbname="postgres",
        passfile=str(server.passfile), password="", autocommit=True,
    ) as connection:  # fmt: skip
        is_new = _create(connection, home)
    installed = home.folder / "migrated"
    if not is_new and installed.exists() and installed.read_text() == version("apache-airflow"):
        return False
    _migrate(home, environment)
    installed.write_text(version("apache-airflow"))
    return True


def _create(connection: psycopg.Connection[tuple[object, ...]], home: Home) -> bool:
    name = sql.Identifier(DATABASE)
    if not home.passfile.exists():
        password = secrets.token_urlsafe(24)
        exists = connection.execute("select from pg_roles where rolname = %s", [DATABASE])
        verb = sql.SQL("alter" if exists.rowcount else "create")
        connection.execute(
            sql.SQL("{} role {} login password {}").format(verb, name, sql.Literal(password))
        )
        write_secret(home.passfile, f"{embedded.HOST}:*:{DATABASE}:{DATABASE}:{password}\n")
    if connection.execute("select from pg_database where datname = %s", [DATABASE]).rowcount:
        return False
    connection.execute(sql.SQL("create database {} owner {}").format(name, name))
    return True


def _migrate(home: Home, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    log = home.logs / "migrate.log"
    with log.open("w") as output:
        done = subprocess.run(command, env=environment, stdout=output, stderr=output)
    if done.returncode != 0:
        raise AirworthyError(
            "Airflow cannot prepare its metadata database.",
            kept="The warehouse is untouched.",
            todo=f"The reason stands at the end of {log}.",
        )
