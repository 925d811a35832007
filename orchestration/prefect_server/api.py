"""Prefect's REST API, as far as this project needs it outside of flows.

Speaks HTTP to the server on loopback; writes what the called endpoint writes.
"""

from __future__ import annotations

import base64
import json
import random
import time
import uuid
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from orchestration.errors import AirworthyError

ENDED_BADLY = ("FAILED", "CRASHED", "CANCELLED")
ENDED = ("COMPLETED", *ENDED_BADLY)
# A proxy of the company's does not lead to this machine.
_open = build_opener(ProxyHandler({})).open


# How often a call whose answer was lost is made again, and the longest wait before.
_TRIES = 4
_WAIT_SECONDS = 2.0


class Refused(AirworthyError):
    """The server answered, and said no."""


class Client:
    """Calls to one server.

    Args:
        api: its address, up to `/api`.
        login: `user:password`.
    """

    def __init__(self, api: str, login: str) -> None:
        self._api = api
        self._login = "Basic " + base64.b64encode(login.encode()).decode()

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

    def start(
        self, deployment: str, key: str | None = None, given: dict[str, Any] | None = None
    ) -> str:
        """Have a run of `flow/deployment`; its id.

        Args:
            key: a second call with the same key gives the run of the first, so that a lost answer
                makes no second run; only one that ended badly is followed by a new one.
            given: the flow's parameters.
        """
        found = self._surely("GET", f"deployments/name/{quote(deployment)}")
        path = f"deployments/{found['id']}/create_flow_run"
        key = key or str(uuid.uuid4())
        while True:
            body = {"idempotency_key": key, "state": {"type": "SCHEDULED"},
                    "parameters": given or {}}  # fmt: skip
            run = self._surely("POST", path, body)
            if run["state"]["type"] not in ENDED_BADLY:
                return str(run["id"])
            key = f"after.{run['id']}"

    def state(self, run_id: str) -> dict[str, Any]:
        """The state of a run: `type` (COMPLETED, FAILED ...), `name`, `message`."""
        state: dict[str, Any] = self.call("GET", f"flow_runs/{run_id}")["state"]
        return state

    def cancel(self, run_id: str) -> None:
        """Ask for the end of a run; whoever works on it obeys."""
        body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        self.call("POST", f"flow_runs/{run_id}/set_state", body)

    def _surely(self, method: str, path: str, body: Any = None) -> Any:
        """A call that may be made twice: again when there was no answer."""
        for left in reversed(range(_TRIES)):
            try:
                return self.call(method, path, body)
            except Refused:
                raise
            except AirworthyError:
                if not left:
                    raise
            time.sleep(random.uniform(_WAIT_SECONDS / 2, _WAIT_SECONDS))  # noqa: S311
        return None

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
        except (URLError, HTTPException, OSError) as error:
            raise AirworthyError(
                f"Prefect's server at {self._api} does not answer: {error}",
                kept="What it was doing goes on, or is found by the next run.",
                todo="`make prefect` starts it.",
            ) from error
        return json.loads(text) if text else None
