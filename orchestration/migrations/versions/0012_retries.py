"""What nobody published, and when it was tried once more."""

from orchestration.migrations import script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    script.run(__file__)
