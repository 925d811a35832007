"""Rows outside the dates that a run is about are refused where they are built."""

from orchestration.migrations import script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    script.run(__file__)
