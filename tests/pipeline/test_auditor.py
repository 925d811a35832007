"""Where the library that judges expectations hangs, fails or is missing, the gate stays shut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.pipeline.test_evidence import blocking, require_blocked, run_of
from tests.support.checkout import Checkout

ROOT = Path(__file__).parents[2]
# What stands in the library's place, how many seconds it has, and what the gate observes.
BROKEN = (
    ("import a_library_that_is_not_there", 600, "No module named 'a_library_that_is_not_there'"),
    ("import sys; sys.stdin.readline(); sys.exit(1)", 600, "it ended without an answer"),
    ("import os; os.kill(os.getpid(), 9)", 600, "it ended without an answer"),
    ("import time; time.sleep(600)", 1, "no answer within 1 seconds"),
)
# A process that has not loaded the library; one for all, as even the rest loads for seconds.
_GATES = """
import os, pathlib, sys
from orchestration import steps
library, run_id, *broken = sys.argv[1:]
for program, seconds in zip(broken[::2], broken[1::2]):
    pathlib.Path(library).write_text(program)
    os.environ["GATE_TIMEOUT_SECONDS"] = seconds
    try:
        steps.gate(int(run_id))
    except Exception as error:
        print("<gate>", type(error).__name__, error)
"""


def test_a_library_that_hangs_fails_or_is_missing_blocks(built: Checkout) -> None:
    run_id = run_of(built)
    library = built.folder / "library/great_expectations.py"
    library.parent.mkdir()
    broken = [str(word) for program, seconds, _ in BROKEN for word in (program, seconds)]
    variables = {
        "PYTHONPATH": f"{library.parent}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _GATES, str(library), str(run_id), *broken], cwd=ROOT, text=True,
        env=os.environ | built.variables | variables, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.split("<gate>")[1:]
    for (program, _, observed), each in zip(BROKEN, said, strict=True):
        assert f"GateBlocked The gate blocks run {run_id}" in each, program
        assert "- great_expectations: suites ran: " in each, program
        assert observed in each, program
        assert each.count("\n           - ") == 1, program
    assert blocking(built) == {"great_expectations": "no answer within 1 seconds"}
    require_blocked(built)
    built.step("gate", run_id)
