"""One step in a process of its own: it ends when it is done, out of time, or nobody waits for it.

A thread cannot be ended, and dbt's are many; a process can. So that a step need not load dbt and
Great Expectations first (seconds), one process has loaded them and copies itself for each step:
`python -m orchestration.apart <socket>`, a socket that only its owner can open. Where it does not
run, a step gets a fresh process and loads what it needs.

Reads and writes what the step does. Killed on either side: the step's process ends with
everything it started, because the socket between the two closes; what the step leaves is what
the step says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from orchestration import preload

if TYPE_CHECKING:
    from orchestration.settings import Settings

# What a step says while it runs: {"said": line}, {"logged": a library's line}, or
# {"node": unique id, "status": dbt's word}.
Heard = Callable[[dict[str, Any]], None]

_open: set[socket.socket] = set()


def perform(
    settings: Settings, step: str, *arguments: object, heard: Heard, seconds: float | None = None
) -> Any:
    """Run `orchestration.steps.<step>(*arguments)` in a process of its own; what it returns.

    Args:
        arguments: what JSON can say.
        heard: told of what the step says, while it runs.
        seconds: how long it may take; by default what the settings say.

    Raises:
        StepTimedOut: it took too long; its process was ended.
        AirworthyError: what the step itself raises, or that its process was killed.
    """
    from orchestration.settings import inherited

    limit = settings.step_timeout_seconds if seconds is None else seconds
    with _process(settings) as ours:
        asked = {"step": step, "arguments": arguments, "environment": inherited()}
        ours.sendall(json.dumps(asked).encode() + b"\n")
        for message in _messages(ours, step, limit):
            if "returned" in message:
                return message["returned"]
            if "raised" in message:
                raise _error(message)
            heard(message)
    return None


def abandon_all() -> None:
    """End the processes of all steps that this process waits for, in whatever thread."""
    for ours in list(_open):
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)


def address(settings: Settings) -> Path:
    """The socket of this checkout's process; its path is short, as sockets need it."""
    checkout = hashlib.sha256(str(settings.var).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"airworthy-{os.getuid()}-{checkout}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder / "steps"


@contextlib.contextmanager
def _process(settings: Settings) -> Iterator[socket.socket]:
    ours = socket.socket(socket.AF_UNIX)
    program = None
    try:
        ours.connect(str(address(settings)))
    except OSError:
        ours.close()
        ours, theirs = socket.socketpair()
        with theirs:
            program = subprocess.Popen(
                [sys.executable, "-m", "orchestration.apart", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
    _open.add(ours)
    try:
        yield ours
    finally:
        _open.discard(ours)
        ours.close()
        if program:
            program.wait()


def _messages(ours: socket.socket, step: str, seconds: float) -> Iterator[dict[str, Any]]:
    from orchestration.errors import AirworthyError, StepTimedOut

    until = time.monotonic() + seconds
    pending = b""
    while True:
        ours.settimeout(max(until - time.monotonic(), 0.001))
        try:
            piece = ours.recv(65_536)
        except TimeoutError:
            raise StepTimedOut(
                f"Step {step} took more than {seconds:,g} seconds; its process was ended.",
                kept="The published marts are untouched.",
                todo="Find out what took so long; then raise STEP_TIMEOUT_SECONDS, or run again.",
            ) from None
        if not piece:
            raise AirworthyError(
                f"The process of step {step} was killed.",
                kept="Every finished step stays; the one under way was rolled back.",
                todo="Run it again; was memory short?",
            )
        *lines, pending = (pending + piece).split(b"\n")
        yield from map(json.loads, lines)


def _error(message: dict[str, Any]) -> Exception:
    from orchestration import errors

    kind = getattr(errors, message["raised"], None)
    if isinstance(kind, type) and issubclass(kind, errors.AirworthyError):
        return kind(message["what"], kept=message["kept"], todo=message["todo"])
    return errors.StepFailed(f"{message['raised']}: {message['what']}", kept=message["kept"])


def _work(theirs: socket.socket) -> None:
    """Do the one step that is asked for on the socket; ends the process."""
    try:
        _answer(theirs)
    finally:
        os._exit(0)


def _answer(theirs: socket.socket) -> None:
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with theirs.makefile("rb") as asking:
        asked = json.loads(asking.readline())
    threading.Thread(target=_end_with, args=(theirs,), daemon=True).start()
    lock = threading.Lock()

    def tell(message: dict[str, Any]) -> None:
        with lock:
            theirs.sendall(json.dumps(message).encode() + b"\n")

    sys.stdout = sys.stderr = _Lines("logged", tell)
    tell(_outcome(asked, tell))


def _outcome(asked: dict[str, Any], tell: Heard) -> dict[str, Any]:
    try:
        from orchestration import console, errors, settings, steps

        settings.adopt(asked["environment"])
        console.out.file = cast("IO[str]", _Lines("said", tell))
        arguments = list(asked["arguments"])
        if asked["step"] in steps.LISTENING:
            arguments.append(lambda node, status: tell({"node": node, "status": status}))
        return {"returned": getattr(steps, asked["step"])(*arguments)}
    except errors.AirworthyError as error:
        return {"raised": type(error).__name__, "what": str(error),
                "kept": error.kept, "todo": error.todo}  # fmt: skip
    except Exception as error:
        kept = "Every finished step stays; the one under way was rolled back."
        return {"raised": type(error).__name__, "what": str(error), "kept": kept, "todo": ""}


def _end_with(theirs: socket.socket) -> None:
    """End this process and all that it started when the other side of the socket is gone."""
    with contextlib.suppress(OSError):
        theirs.recv(1)
    os.killpg(0, signal.SIGKILL)


class _Lines:
    """A text stream that tells each line as `key`."""

    def __init__(self, key: str, tell: Heard) -> None:
        self._key, self._tell, self._begun = key, tell, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, lines):
            self._tell({self._key: line})
        return len(text)

    def flush(self) -> None:
        """Whole lines only are told."""

    def isatty(self) -> bool:
        return False


def _serve(path: Path) -> None:
    """Copy this process for each connection; runs until it is ended."""
    preload.load_for_steps()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        while True:
            theirs, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _work(theirs)
            theirs.close()


def main() -> None:
    """Serve at the socket named by the argument; or do one step, on an open socket's number."""
    if sys.argv[1].isdigit():
        _work(socket.socket(fileno=int(sys.argv[1])))
    _serve(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
