"""Rows lie at the dates that they were delivered for."""

from orchestration.migrations import script

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    script.run(__file__)
