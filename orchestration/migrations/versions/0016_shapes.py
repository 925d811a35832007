"""Published tables follow the shape of the candidate."""

from orchestration.migrations import script

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    script.run(__file__)
