"""`make faults`: what is a campaign and not a test; hours of it, resumable, with a page of results.

- sweep: every single operation of a run, a rollback and gc fails once, in two ways;
- histories: random histories with backfills in them, far more than in a test run;
- readers: a thousand publications under readers;
- mutations: a broken line at each step, which the tests must notice (`tests/mutations/*.patch`);
- loaded: the whole suite ten times, with a load beside it that keeps all cores busy.

Each result is a line of JSON in `var/faults/<campaign>.jsonl` and is not done again: an interrupted
campaign goes on. `python -m tests.campaigns <names>` runs some of them; `docs/faults.md` is written
anew from what is there. Results of mutations and load are a commit's own: another one starts over.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support import keeper

PROJECT = Path(__file__).parent.parent
LOGS = PROJECT / "var/faults"
MUTATIONS = Path(__file__).parent / "mutations"
_TIMES, _BURNERS = 10, 6
_BURN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
_SUITE = ("-m", "not runners", "--numprocesses", "2", "--dist", "loadfile",
          "--no-loadscope-reorder")  # fmt: skip
# It says of each patch whether it can be applied: not to where it is applied already.
_OF_PATCHES = (
    "--deselect",
    "tests/test_layout.py::test_every_broken_line_that_the_tests_must_notice_can_be_broken",
)
Line = dict[str, Any]


def main(names: list[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    failed = [name for name in names or list(CAMPAIGNS) if not CAMPAIGNS[name]()]
    from tests import faults_page

    print(f"  faults  {faults_page.write().relative_to(PROJECT)}")
    for name in failed:
        print(f"  faults  {name}: not as it should be; see {LOGS / name}.jsonl")
    return 1 if failed else 0


def lines(name: str) -> list[Line]:
    """What a campaign has found so far."""
    path = LOGS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def of_this_commit(name: str) -> list[Line]:
    """Those of them that are about the commit that is tried."""
    now = commit()
    return [line for line in lines(name) if line["commit"] == now]


def note(name: str, **found: object) -> None:
    line = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "commit": commit(), **found}
    with (LOGS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def commit() -> str:
    """The commit that is tried: the last one that changed more than pages."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%h", "--", ".", ":!docs", ":!*.md", ":!benchmarks"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def pytest(*arguments: str, folder: Path = PROJECT, **variables: str) -> tuple[int, str, float]:
    """A run of tests with a keeper of its own: exit code, what it said, seconds."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments], cwd=folder,
        env={**keeper.outside(), "CI": "true", **variables}, text=True, capture_output=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def sweep() -> bool:
    """Resumable by the operation."""
    log = str(LOGS / "operations.jsonl")
    code, said, seconds = pytest(
        "tests/faults/test_sweep.py", AIRWORTHY_EVERY="1", AIRWORTHY_SWEEP_LOG=log
    )
    note("sweep", green=code == 0, seconds=round(seconds), said=said[-2000:] if code else "")
    return code == 0


def histories() -> bool:
    """Random every time: each line is that many more."""
    examples, steps = os.environ.get("EXAMPLES", "100"), os.environ.get("STEPS", "20")
    code, said, seconds = pytest(
        "tests/backfill/test_histories.py", AIRWORTHY_EXAMPLES=examples, AIRWORTHY_STEPS=steps
    )
    note(
        "histories", examples=int(examples), steps=int(steps), green=code == 0,
        seconds=round(seconds), said=said[-6000:] if code else "",
    )  # fmt: skip
    return code == 0


def readers() -> bool:
    code, said, seconds = pytest("tests/publish/test_readers.py", AIRWORTHY_PUBLICATIONS="1000")
    note("readers", green=code == 0, seconds=round(seconds), said=said[-2000:] if code else "")
    return code == 0


def mutations() -> bool:
    """Each patch in a clone of its own: the tests that should notice it first, then all."""
    known = {line["patch"] for line in of_this_commit("mutations")}
    for patch in sorted(MUTATIONS.glob("*.patch")):
        if patch.name in known:
            continue
        with _clone() as folder:
            subprocess.run(["git", "apply", str(patch)], cwd=folder, check=True)
            first = [arg for arg in _noticed_by(patch) if (folder / arg.split("::")[0]).exists()]
            code, said, seconds = pytest("-x", "-q", *first, folder=folder)
            if code == 0:
                code, said, more = pytest("-x", "-q", *_SUITE, *_OF_PATCHES, folder=folder)
                seconds += more
        seen = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
        note("mutations", patch=patch.name, noticed=code == 1, by=seen[:1], seconds=round(seconds))
    return all(line["noticed"] for line in of_this_commit("mutations"))


def _noticed_by(patch: Path) -> list[str]:
    """The tests named in the patch's first lines, `Noticed by: ...`."""
    head = patch.read_text().partition("diff --git")[0]
    return next(
        line.partition(":")[2].split() for line in head.splitlines()
        if line.startswith("Noticed by:")
    )  # fmt: skip


@contextmanager
def _clone() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="airworthy-mutant-"))
    try:
        subprocess.run(["git", "clone", "-q", str(PROJECT), str(folder)], check=True)
        (folder / ".venv").symlink_to(PROJECT / ".venv")
        yield folder
    finally:
        shutil.rmtree(folder)


def loaded() -> bool:
    """The whole suite, again and again, beside processes that keep all cores busy."""
    for number in range(len(of_this_commit("loaded")) + 1, _TIMES + 1):
        burners = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(_BURNERS)]
        try:
            code, said, seconds = pytest(*_SUITE)
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        summary = said.strip().splitlines()[-1:]
        red = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
        note(
            "loaded", number=number, green=code == 0, seconds=round(seconds), said=summary, red=red
        )
        if code:
            (LOGS / f"loaded-{number}.log").write_text(said)
    return all(line["green"] for line in of_this_commit("loaded"))


CAMPAIGNS: dict[str, Callable[[], bool]] = {
    "sweep": sweep, "histories": histories, "readers": readers, "mutations": mutations,
    "loaded": loaded,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
