"""Statistics follow rows, not pages."""

from orchestration.migrations import script

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    script.run(__file__)
