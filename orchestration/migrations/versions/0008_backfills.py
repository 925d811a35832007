"""Backfills: a recorded plan whose chunks are published one by one on top of a base."""

from orchestration.migrations import script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    script.run(__file__)
