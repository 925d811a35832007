"""The process that judges expectations: started early, asked once, ended when it takes too long.

Killed: the process ends when its input does.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import multiprocessing.context
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import quote

from orchestration import database
from orchestration.auditing.checks import Check
from orchestration.runs import Run
from orchestration.settings import PROJECT, Settings, environment_with, exported

COMMAND = (sys.executable, "-m", "orchestration.auditing.expectations")


class IncompleteAnswer(Exception):
    """Not every suite gave a result: the library failed, hung, or could not be loaded."""


class Auditor:
    """A process with Great Expectations loaded, or about to be."""

    def __init__(
        self, process: subprocess.Popen[str] | _Copied, errors: IO[str], seconds: int
    ) -> None:
        self._process, self._errors, self._seconds = process, errors, seconds

    def judge(self, suites: list[dict[str, Any]], advance: Callable[[str], None]) -> list[Check]:
        """The results of all suites.

        Args:
            advance: called with a mart's name for each of its checks.

        Raises:
            IncompleteAnswer: some result is missing; says why.
        """
        assert self._process.stdin
        assert self._process.stdout
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            self._process.kill()

        timer = threading.Timer(self._seconds, give_up)
        timer.start()
        checks: list[Check] = []
        try:
            self._process.stdin.write(json.dumps(suites) + "\n")
            self._process.stdin.close()
            for line in self._process.stdout:
                answer = json.loads(line)
                if "done" in answer:
                    return checks
                checks.append(Check(**answer))
                advance(checks[-1].subject)
        except (OSError, ValueError):
            pass  # it ended in the middle; below it says why
        finally:
            timer.cancel()
        if timed_out.is_set():
            raise IncompleteAnswer(f"no answer within {self._seconds} seconds")
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        raise IncompleteAnswer(said[-1][:500] if said else "it ended without an answer")


@contextmanager
def auditor(settings: Settings, connection: database.Connection, run: Run) -> Iterator[Auditor]:
    """Start the process for `run`, now; it loads and tries its library while others work.

    Where the library is loaded already (Airflow's tasks), a copy of this process answers, unless
    this one may have no children (Celery's workers).
    """
    where = database.address(settings) | {
        "PGOPTIONS": database.session_options(run.run_id, "auditor"),
        "GX_ANALYTICS_ENABLED": "false",
    }
    is_loaded = "great_expectations" in sys.modules
    start = _copy if is_loaded and not multiprocessing.current_process().daemon else _program
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        start(_url(connection), where, errors) as process,
    ):
        try:
            yield Auditor(process, errors, settings.gate_timeout_seconds)
        finally:
            process.kill()


def load() -> None:
    """Load the library into this process, so that each auditor to come is a copy of it.

    It takes seconds, and pays when several runs follow one another.
    """
    importlib.import_module("great_expectations")


def _program(url: str, where: dict[str, str], errors: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, url], env=environment_with(where), cwd=PROJECT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
    )  # fmt: skip


@contextmanager
def _copy(url: str, where: dict[str, str], errors: IO[str]) -> Iterator[_Copied]:
    asked, ask = os.pipe()
    answer, answered = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_answer, args=(url, where, asked, answered, errors.fileno())
    )
    process.start()
    os.close(asked)
    os.close(answered)
    with open(ask, "w", encoding="utf-8") as stdin, open(answer, encoding="utf-8") as stdout:
        yield _Copied(process, stdin, stdout)
    process.join()


def _answer(url: str, where: dict[str, str], asked: int, answered: int, errors: int) -> None:
    from orchestration.auditing import expectations

    with (
        open(os.dup(errors), "w", encoding="utf-8") as said,
        redirect_stdout(said),
        redirect_stderr(said),
        exported(where),
        open(asked, encoding="utf-8") as asking,
        open(answered, "w", encoding="utf-8") as answers,
    ):
        try:
            expectations.answer(url, asking, answers)
        except Exception as error:  # `Auditor` reads the last line that was said
            print(f"{type(error).__name__}: {error}", file=said)


@dataclass(frozen=True)
class _Copied:
    """What `Auditor` needs of a process, as `subprocess.Popen` has it."""

    _process: multiprocessing.context.ForkProcess
    stdin: IO[str]
    stdout: IO[str]

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        self._process.join()


def _url(connection: database.Connection) -> str:
    """Where the warehouse is, without the password: that reaches libpq through its variables."""
    info = connection.info
    user, name = quote(info.user, safe=""), quote(info.dbname, safe="")
    if info.host.startswith("/"):
        return f"postgresql+psycopg2://{user}@localhost:{info.port}/{name}?host={info.host}"
    return f"postgresql+psycopg2://{user}@{info.host}:{info.port}/{name}"
