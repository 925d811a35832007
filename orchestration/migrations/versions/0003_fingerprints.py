"""What the code of each version is made of; runs that select; partitions longer than a day."""

from orchestration.migrations import script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    script.run(__file__)
