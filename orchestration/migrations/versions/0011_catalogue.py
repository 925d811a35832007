"""The catalogue: `published._catalog`, one row per mart that people can query."""

from alembic import op

from orchestration.migrations import script
from orchestration.publishing import catalogue

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    script.run(__file__)
    # What was published before says as much about itself: its manifests are kept.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    catalogue.remember_all(connection)
