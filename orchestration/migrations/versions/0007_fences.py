"""What is left of an older run neither builds on nor publishes over what came later."""

from orchestration.migrations import script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    script.run(__file__)
