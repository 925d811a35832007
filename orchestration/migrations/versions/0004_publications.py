"""Publication, rollback, holds: in the database, where nobody gets around them."""

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # Straight to the driver: format() has its own use for percent signs.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    connection.execute(text)
