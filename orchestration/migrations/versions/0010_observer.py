"""Who only looks: the role that metrics are computed with, and which events were told."""

from orchestration.migrations import script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    script.run(__file__)
