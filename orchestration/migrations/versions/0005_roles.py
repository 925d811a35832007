"""One database role per step, each with the least rights it needs."""

from orchestration.migrations import script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    script.run(__file__)
