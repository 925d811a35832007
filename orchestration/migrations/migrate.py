"""Bring the ledger's tables (schema `ops`) up to the newest migration.

Reads `orchestration/migrations/`, writes the warehouse. One transaction: killed, nothing changed.
"""

from __future__ import annotations

from pathlib import Path

from orchestration import database
from orchestration.errors import AirworthyError
from orchestration.settings import Settings

_FOLDER = Path(__file__).parent


def migrate(settings: Settings) -> bool:
    """Apply what is missing; True when something was.

    Raises:
        WarehouseBusy: another process is migrating.
    """
    with database.connect(settings, name="migrate") as connection:
        if _applied(connection) == newest():
            return False
        with database.only_one(connection, "migration"):
            _upgrade(settings)
    return True


def require(connection: database.Connection) -> None:
    """Raise unless the ledger is there and current."""
    if _applied(connection) != newest():
        raise AirworthyError(
            "The ledger (schema ops) is missing or older than this code.",
            kept="Nothing was changed.",
            todo="Run `make up`; it applies the migrations.",
        )


def newest() -> str:
    """The revision of the last migration: its file's name starts with it."""
    return max(path.stem.split("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*.py"))


def _applied(connection: database.Connection) -> str | None:
    found = connection.execute("select to_regclass('ops.alembic_version')").fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("select version_num from ops.alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(settings: Settings) -> None:
    # Imported here: most commands find nothing to migrate and need not load SQLAlchemy.
    import sqlalchemy
    from alembic import command
    from alembic.config import Config

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: database.connect(settings, name="migrate")
    )
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    with engine.begin() as connection:
        connection.exec_driver_sql("create schema if not exists ops")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
