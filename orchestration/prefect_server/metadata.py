"""Prefect's metadata: its database is migrated when Prefect's version changed.

Writes the database `prefect` of the embedded server. Killed: the next start does what is missing.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

from orchestration.daemons import metadata
from orchestration.errors import AirworthyError
from orchestration.prefect_server.home import DATABASE, Home, environment
from orchestration.settings import Settings


def prepare(settings: Settings, home: Home) -> None:
    """Have a database that this version of Prefect can use.

    Raises:
        AirworthyError: Prefect cannot migrate it.
    """
    is_new = metadata.create(settings, home, DATABASE)
    installed = home.folder / "migrated"
    if not is_new and installed.exists() and installed.read_text() == version("prefect"):
        return
    log = home.logs / "migrate.log"
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.prefect_server.program", "migrate"],
            env=environment(settings, home), stdout=output, stderr=output,
        )  # fmt: skip
    if done.returncode != 0:
        raise AirworthyError(
            "Prefect cannot prepare its metadata database.",
            kept="The warehouse is untouched.",
            todo=f"The reason stands at the end of {log}.",
        )
    installed.write_text(version("prefect"))
