"""Alerts, the messages that still have to reach somebody, and silences."""

from orchestration.migrations import script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    script.run(__file__)
