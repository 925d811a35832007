"""Airflow's metadata: Airflow migrates its database when its version changed.

Writes the database `airflow` of the embedded server. Killed: the next start does what is missing.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from orchestration.airflow_server.home import DATABASE, Home
from orchestration.daemons import metadata
from orchestration.errors import AirworthyError
from orchestration.settings import Settings


def prepare(settings: Settings, home: Home, environment: dict[str, str]) -> bool:
    """Have a database that this version of Airflow can use; True when it had to be migrated.

    Raises:
        AirworthyError: Airflow cannot migrate it.
    """
    is_new = metadata.create(settings, home, DATABASE)
    installed = home.folder / "migrated"
    if not is_new and installed.exists() and installed.read_text() == version("apache-airflow"):
        return False
    _migrate(home, environment)
    installed.write_text(version("apache-airflow"))
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
