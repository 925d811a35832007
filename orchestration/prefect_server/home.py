"""Where Prefect keeps its things, and the environment that all its processes share.

Reads and writes `var/prefect` (secrets in files with mode 0600). Killed: what is missing is made
at the next start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import quote

from orchestration.daemons.place import Place
from orchestration.settings import PROJECT, Settings, environment_with
from orchestration.warehouse_server import embedded

DATABASE = "prefect"
USER = "admin"


class Home(Place):
    """The folder `var/prefect`."""

    @property
    def api(self) -> str:
        return f"{self.address}/api"

    @property
    def login(self) -> str:
        """What the server asks for, `user:password`; the page asks for all of it."""
        return f"{USER}:{self.secret('password', 12)}"


def of(settings: Settings) -> Home:
    """Prefect's home in this checkout."""
    home = Home(settings.var / "prefect")
    home.logs.mkdir(parents=True, exist_ok=True)
    return home


def environment(settings: Settings, home: Home) -> dict[str, str]:
    """The process environment of every Prefect program: this one's, and Prefect's settings."""
    port = embedded.locate(settings).port
    metadata = (
        f"postgresql+asyncpg://{DATABASE}@{embedded.HOST}:{port}/{DATABASE}"
        f"?passfile={quote(str(home.passfile), safe='')}"
    )
    options: dict[str, object] = {
        "HOME": home.folder,
        "API_URL": home.api,
        "API_AUTH_STRING": home.login,
        "LOGGING_COLORS": "false",
        "CLI_COLORS": "false",
        # What sends only to people far away is off; so is a server that nobody asked for.
        "SERVER_ANALYTICS_ENABLED": "false",
        "SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "SERVER_EPHEMERAL_ENABLED": "false",
        "SERVER_API_HOST": embedded.HOST,
        "SERVER_API_PORT": home.port,
        "SERVER_API_AUTH_STRING": home.login,
        "SERVER_METRICS_ENABLED": "true",
        "SERVER_DATABASE_CONNECTION_URL": metadata,
        "SERVER_MEMO_STORE_PATH": home.folder / "memo_store.toml",
        "SERVER_DATABASE_MIGRATE_ON_START": "false",
        "SERVER_UI_STATIC_DIRECTORY": home.folder / "ui",
        "SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": 3,
        "SERVER_SERVICES_SCHEDULER_MIN_RUNS": 1,
        "SERVER_SERVICES_SCHEDULER_MAX_RUNS": 3,
        # How often the flows' process asks for work.
        "WORKER_QUERY_SECONDS": 1,
        "FLOWS_HEARTBEAT_FREQUENCY": 30,
    }
    named = {f"PREFECT_{name}": str(value) for name, value in options.items()}
    return environment_with(
        named
        | {
            "DO_NOT_TRACK": "1",
            "PYTHONPATH": str(PROJECT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "RUNNER": "prefect",
        }
    )
