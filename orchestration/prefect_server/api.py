"""Prefect's REST API, as far as this project needs it outside of flows.

Speaks HTTP to the server on loopback; writes what the called endpoint writes.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from orchestration.errors import AirworthyError
from orchestration.prefect_server.home import Home

# A proxy of the company's does not lead to this machine.
_open = build_opener(ProxyHandler({})).open


class Refused(AirworthyError):
    """The server answered, and said no."""


class Client:
    """Calls to one server with its login."""

    def __init__(self, home: Home) -> None:
        self._api = home.api
        self._login = "Basic " + base64.b64encode(home.login.encode()).decode()

    def is_healthy(self) -> bool:
        """Whether the server answers and reaches its database."""
        try:
            return bool(self.call("GET", "ready"))
        except AirworthyError:
            return False

    def is_served(self) -> bool:
        """Whether a process serves the deployments."""
        try:
            pools = self.call("POST", "work_pools/filter", {})
        except AirworthyError:
            return False
        return any(pool["status"] == "READY" for pool in pools if pool["type"] == "process")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call an endpoint below `/api`; its answer.

        Raises:
            Refused: the server says no; the message holds its reason.
            AirworthyError: the server cannot be reached, or its answer was lost.
        """
        request = Request(  # noqa: S310 - the address is ours: loopback
            f"{self._api}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": self._login},
        )
        try:
            with _open(request, timeout=30) as answer:
                text = answer.read()
        except HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            raise Refused(f"Prefect refuses {method} {path}: {error.code} {said}") from error
        except (URLError, OSError) as error:
            raise AirworthyError(
                f"Prefect's server at {self._api} does not answer: {error}",
                kept="What it was doing goes on, or is found by the next run.",
                todo="`make prefect` starts it.",
            ) from error
        return json.loads(text) if text else None
