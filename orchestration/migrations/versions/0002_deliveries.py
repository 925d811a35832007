"""Deliveries in parallel, replayed, withdrawn; slices longer or shorter than a day."""

from orchestration.migrations import script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    script.run(__file__)
