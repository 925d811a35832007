"""The ledger: deliveries, runs, evidence, verdicts, publications."""

from orchestration.migrations import script

revision = "0001"
down_revision = None


def upgrade() -> None:
    script.run(__file__)
