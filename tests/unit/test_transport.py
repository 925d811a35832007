"""An address of lineage that fails or is slow, asked several times by one process.

Commands tell once and end; only processes that live longer meet the breaker, so it is called here.
"""

from __future__ import annotations

import socket
import threading

import pytest

from orchestration.lineage import transport
from tests.support.receiver import Receiver

EVENTS = [{"n": n} for n in range(10)]


def test_an_address_that_failed_twice_is_not_asked_again() -> None:
    receiver = Receiver()
    with receiver.up(503):
        to = transport.Http(receiver.address)
        for _ in range(2):
            with pytest.raises(transport.Unreachable, match="OPENLINEAGE_URL answers 503"):
                to.send(EVENTS)
    with receiver.up(201):
        with pytest.raises(transport.Unreachable, match="not tried again in this process"):
            to.send(EVENTS)
        assert receiver.heard == [], "the breaker is open"
        transport.Http(receiver.address + "/").send(EVENTS)  # as a new process would
        assert receiver.heard == EVENTS


def test_a_dead_address_is_asked_twice_and_no_more() -> None:
    """It costs as little as two connections, however often something is to be told."""
    asked: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as dead:
        to = transport.Http(f"http://127.0.0.1:{dead.getsockname()[1]}")
        thread = threading.Thread(target=_hang_up, args=(dead, asked), daemon=True)
        thread.start()
        for _ in range(5):
            with pytest.raises(transport.Unreachable):
                to.send(EVENTS)
        dead.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len(asked) == 2


def test_a_slow_address_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()

    class SixSecondsAnAnswer:
        @staticmethod
        def monotonic() -> float:
            return 6.0 * len(receiver.heard)

    monkeypatch.setattr(transport, "time", SixSecondsAnAnswer)
    with receiver.up(201):
        to = transport.Http(receiver.address)
        with pytest.raises(transport.Unreachable, match="slow"):
            to.send(EVENTS)
    assert receiver.heard == EVENTS[:2], "ten seconds in all"


def _hang_up(server: socket.socket, asked: list[object]) -> None:
    """Close each connection without an answer, until the server itself is closed."""
    while True:
        try:
            client, address = server.accept()
        except OSError:
            return
        asked.append(address)
        client.close()
