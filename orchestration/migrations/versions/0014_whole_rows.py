"""Published is the audited candidate in every column."""

from orchestration.migrations import script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    script.run(__file__)
