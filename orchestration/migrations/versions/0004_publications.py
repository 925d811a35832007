"""Publication, rollback, holds: in the database, where nobody gets around them."""

from orchestration.migrations import script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    script.run(__file__)
