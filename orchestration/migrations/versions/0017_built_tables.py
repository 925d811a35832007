"""Statistics of what a build wrote."""

from orchestration.migrations import script

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    script.run(__file__)
