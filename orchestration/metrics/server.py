"""`make metrics`: serve `/metrics` on this machine until somebody ends it.

Reads what the collector reads; writes nothing. Killed: nothing is left.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from orchestration.errors import AirworthyError
from orchestration.metrics.collector import LedgerCollector
from orchestration.settings import Settings

HOST = "127.0.0.1"


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address of `/metrics`, which answers while the context is open.

    Raises:
        AirworthyError: the port is taken.
    """
    registry = CollectorRegistry(auto_describe=False)
    collector = LedgerCollector(settings)
    registry.register(collector)
    try:
        server, thread = start_http_server(settings.metrics_port, HOST, registry)
    except OSError as error:
        raise AirworthyError(
            f"Metrics cannot be served on {HOST}:{settings.metrics_port}: {error.strerror}.",
            kept="Nothing was changed.",
            todo="End the program that listens there, or set METRICS_PORT to another port.",
        ) from error
    try:
        yield f"http://{HOST}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        collector.close()


def wait() -> None:
    """Return when somebody asks this process to end."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()
