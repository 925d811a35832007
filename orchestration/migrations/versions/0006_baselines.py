"""What the candidate is compared with: what is usual in the published marts."""

from orchestration.migrations import script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    script.run(__file__)
