"""How a migration runs: the `.sql` file beside it, in Alembic's transaction."""

from pathlib import Path

from alembic import op


def run(migration: str) -> None:
    """Execute the statements that belong to the migration's Python file."""
    # Straight to the driver: SQLAlchemy would take percent signs, format()'s own, for parameters.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute(Path(migration).with_suffix(".sql").read_text(encoding="utf-8"))
