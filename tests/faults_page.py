"""`docs/faults.md`: what the campaigns tried and found, from their logs."""

from __future__ import annotations

import os
import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from tests.campaigns import LOGS, MUTATIONS, PROJECT, lines

PAGE = PROJECT / "docs/faults.md"
_MACHINE = """\
Written {date}; {cores} cores, {memory} GiB, Python {python}. `make faults` goes on where its logs
in `var/faults` end, and writes this page again.
"""
_SWEEP = """\
## Every single operation fails once

An operation is a statement, or the end of a COPY, that a command sends to the warehouse, with
whatever library. Each is failed in two ways: the process is killed when the server has done it,
and the session is cut. Then the same command, called once more, must give what an undisturbed one
gives.

| command | faults tried |
|---|---|
"""
_HISTORIES = """\
## Random histories

Files land in any order, late, corrected, doubled, withdrawn; code changes; tables are lost; runs
and backfills are abandoned anywhere. After each run the marts must be those of a build from
scratch.

| when | histories | steps each, at most | seconds | found |
|---|---|---|---|---|
"""
_READERS = """\
## Readers

A thousand publications under readers that join five marts: no error, no torn read, no wait.

| when | seconds | found |
|---|---|---|
"""
_MUTATIONS = """\
## A broken line at each step

Patches in `tests/mutations/`, each applied to a clone: the suite must turn red.

| what is broken | noticed |
|---|---|
"""
_LOADED = """\
## The whole suite on a crowded machine

Six processes beside it keep both cores busy.

| when | commit | seconds | result |
|---|---|---|---|
"""


def write() -> Path:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    parts = [
        "# Faults: what was tried, and what was found\n",
        _MACHINE.format(
            date=f"{datetime.now(UTC):%Y-%m-%d}", cores=os.cpu_count(), memory=memory,
            python=platform.python_version(),
        ),
        _sweep(), _histories(), _readers(), _mutations(), _loaded(),
    ]  # fmt: skip
    PAGE.write_text("\n".join(parts))
    return PAGE


def _sweep() -> str:
    found = lines("operations")
    tried = Counter(str(line["command"][0]) for line in found)
    bad = [line for line in found if line["result"] not in ("good", "the command had ended")]
    rows = [f"| `{command}` | {count} |" for command, count in sorted(tried.items())]
    rows += ["", f"{len(bad)} of {len(found)} ended otherwise."]
    rows += [f"- {b['command']}, operation {b['number']}, {b['how']}: {b['result']}" for b in bad]
    return _SWEEP + "\n".join(rows) + "\n"


def _histories() -> str:
    rows, said = "", ""
    for line in lines("histories"):
        found = "none" if line["green"] else "see below"
        rows += f"| {line['at']} | {line['examples']} | {line['steps']}"
        rows += f" | {line['seconds']:,} | {found} |\n"
        said += "" if line["green"] else f"\n```\n{line['said']}\n```\n"
    return _HISTORIES + rows + said


def _readers() -> str:
    rows = ""
    for line in lines("readers"):
        found = "none" if line["green"] else line["said"]
        rows += f"| {line['at']} | {line['seconds']:,} | {found} |\n"
    return _READERS + rows


def _mutations() -> str:
    rows = ""
    for name, line in sorted({line["patch"]: line for line in lines("mutations")}.items()):
        path = MUTATIONS / name
        what = path.read_text().splitlines()[0] if path.exists() else name
        by = line["by"][0].split(" - ")[0].split(" ", 1)[-1] if line["by"] else "nobody"
        rows += f"| {what} | {'yes' if line['noticed'] else '**no**'}, by `{by}` |\n"
    return _MUTATIONS + rows


def _loaded() -> str:
    rows = ""
    for line in lines("loaded"):
        red = "" if line["green"] else ": " + "; ".join(line["red"])
        rows += f"| {line['at']} | {line['commit']} | {line['seconds']:,}"
        rows += f" | {' '.join(line['said'])}{red} |\n"
    return _LOADED + rows


if __name__ == "__main__":
    print(write(), LOGS)
