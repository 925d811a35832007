"""A checkout that reaches its warehouse over a wire, which fails one operation of a command."""

from __future__ import annotations

import os
import signal
import threading

from tests.support import states
from tests.support.checkout import Checkout
from tests.support.points import quiet
from tests.support.wire import Fault, Wire

KILL_AFTER, CUT, KILL_BEFORE = "kill after", "cut", "kill before"


class Disturbed:
    """The checkout, its wire, and the state that it starts from again and again."""

    def __init__(self, made: Checkout, state: str) -> None:
        self.made, self._state = made, state
        with made.connect() as connection:
            self.wire = Wire(connection.info.port)
            there = f"127.0.0.1:{connection.info.port}"
        url = made.variables["WAREHOUSE_URL"]
        assert there in url
        # One thread, so that operations come in the same order each time.
        self.over_the_wire = {
            "WAREHOUSE_URL": url.replace(there, f"127.0.0.1:{self.wire.port}"),
            "DBT_THREADS": "1", "RETAIN_PUBLICATIONS": "1", "RETAIN_DAYS": "0",
        }  # fmt: skip

    def renew(self) -> None:
        states.renew(self.made, self._state)

    def operations(self, *arguments: str) -> list[str]:
        """What an undisturbed command asks the warehouse to do, in order."""
        self.wire.arm(None)
        self.made.call(*arguments, code=0, **self.over_the_wire)
        return self.wire.operations

    def fail(self, number: int, how: str, *arguments: str) -> bool:
        """Fail the operation of that number; False if the command ended before it came to it."""
        started = threading.Event()
        pids: list[int] = []

        def kill() -> None:
            started.wait()
            os.kill(pids[0], signal.SIGKILL)

        self.wire.arm(Fault(number, how == KILL_AFTER, None if how == CUT else kill))
        process = self.made.start(*arguments, **self.over_the_wire)
        pids.append(process.pid)
        started.set()
        code = process.wait()
        failed = len(self.wire.operations) >= number
        assert code == 0 or failed, process.said
        assert code == -signal.SIGKILL or not failed or how == CUT, process.said
        assert "Traceback" not in process.said
        self.wire.arm(None)
        quiet(self.made)
        return failed
