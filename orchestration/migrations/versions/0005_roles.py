"""One database role per step, each with the least rights it needs."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # Straight to the driver: format() has its own use for percent signs.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute(text)
