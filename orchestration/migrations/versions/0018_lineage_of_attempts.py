"""Lineage of runs that are judged again, or end before they are published."""

from orchestration.migrations import script

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    script.run(__file__)
