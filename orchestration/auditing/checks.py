"""What the gate checks and decides, as nouns.

Pure: reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestration.runs import Run

NO_VALUE = "no value"  # such as the mean of no rows, or of nulls


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what came of it.

    Attributes:
        column: the checked column, where there is one.
        values: up to five values that should not be there, as text; None stands for null.
        samples: up to five rows that should not be there: key and value.
        hint: what to do about exactly these rows.
    """

    kind: str
    subject: str
    name: str
    severity: str
    passed: bool
    observed: str = ""
    expected: str = ""
    failing_rows: int | None = None
    samples: list[str] = field(default_factory=list)
    note: str = ""
    column: str | None = None
    values: list[str | None] = field(default_factory=list)
    owner: str = ""
    partitions: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """The gate's word on exactly the candidate rows that `candidate_digest` stands for."""

    run: Run
    passed: bool
    candidate_digest: str
    checks: tuple[Check, ...]

    @property
    def blocking(self) -> list[Check]:
        """What stands in the way, causes before what was skipped because of them."""
        blocking = [c for c in self.checks if not c.passed and c.severity == "critical"]
        return sorted(blocking, key=lambda c: c.observed == "skipped")

    @property
    def warnings(self) -> list[Check]:
        return [c for c in self.checks if not c.passed and c.severity == "warning"]
