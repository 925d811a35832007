"""Which operations fail, and how: a few in every test run, each single one in a campaign.

A campaign (AIRWORTHY_EVERY=1) takes an hour. With AIRWORTHY_SWEEP_LOG it can be resumed: a result
is a line of JSON in that file, and what is there is not done again.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.faults.disturbed import CUT, KILL_AFTER, KILL_BEFORE, Disturbed
from tests.support.wire import is_write

_HOW = (KILL_AFTER, CUT, KILL_BEFORE)
_GOOD, _ENDED = "good", "the command had ended"

Check = Callable[[], None]


def sweep(
    disturbed: Disturbed, command: tuple[str, ...], operations: list[str], every: int, check: Check
) -> None:
    """Fail operations of a command, each from the same state.

    Args:
        operations: what the command asks for when nothing disturbs it.
        every: of the different writes, this many-th are failed; in a campaign, all operations are.
        check: what must hold after each fault.
    """
    if os.environ.get("AIRWORTHY_EVERY") == "1":
        _campaign(disturbed, command, check)
        return
    for number, how in _some(operations, every):
        try:
            assert _fail(disturbed, command, number, how, check)
        except AssertionError as error:
            error.add_note(f"operation {number}, {how}: {operations[number - 1]}")
            raise


def _campaign(disturbed: Disturbed, command: tuple[str, ...], check: Check) -> None:
    name = os.environ.get("AIRWORTHY_SWEEP_LOG")
    log = Path(name) if name else disturbed.made.folder / "sweep.jsonl"
    known = _known(log, command)
    for number, how in ((number, how) for number in itertools.count(1) for how in _HOW[:2]):
        if (number, how) not in known:
            known[number, how] = _result(disturbed, command, number, how, check)
            line = {"command": command, "number": number, "how": how, "result": known[number, how]}
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
        if known[number, how] == _ENDED:
            break
    assert {at: said for at, said in known.items() if said not in (_GOOD, _ENDED)} == {}


def _known(log: Path, command: tuple[str, ...]) -> dict[tuple[int, str], str]:
    """What came of the operations that were failed before this campaign was resumed."""
    lines = log.read_text().splitlines() if log.exists() else []
    results = [json.loads(line) for line in lines]
    return {
        (each["number"], each["how"]): each["result"]
        for each in results
        if each["command"] == list(command)
    }


def _result(
    disturbed: Disturbed, command: tuple[str, ...], number: int, how: str, check: Check
) -> str:
    try:
        return _GOOD if _fail(disturbed, command, number, how, check) else _ENDED
    except AssertionError as error:
        return str(error) or "an assertion failed"


def _fail(
    disturbed: Disturbed, command: tuple[str, ...], number: int, how: str, check: Check
) -> bool:
    disturbed.renew()
    failed = disturbed.fail(number, how, *command)
    if failed:
        check()
    return failed


def _some(operations: list[str], every: int) -> Iterable[tuple[int, str]]:
    """Of the different writes some, failed in turn in all ways."""
    first = {text[-60:]: n for n, text in reversed([*enumerate(operations, 1)]) if is_write(text)}
    ways: Iterator[str] = itertools.cycle(_HOW)
    return zip(sorted(first.values())[::every], ways, strict=False)
