"""Airflow's public REST API, as far as this project needs it.

Speaks HTTP to the API server on loopback; writes what the called endpoint writes.
"""

from __future__ import annotations

import json
import random
import time
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

from orchestration.airflow_server.home import USER
from orchestration.errors import AirworthyError

# What the API calls the processes that we start.
_HEALTH = {
    "metadatabase": "api-server",
    "dag_processor": "dag-processor",
    "triggerer": "triggerer",
    "scheduler": "scheduler",
}
# A proxy of the company's does not lead to this machine.
_open = build_opener(ProxyHandler({})).open


_EXISTS = 409
# How often a call whose answer was lost is made again, and the longest wait before.
_TRIES = 4
_WAIT_SECONDS = 2.0


class Refused(AirworthyError):
    """The server answered, and said no.

    Args:
        code: HTTP's.
    """

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


class Client:
    """A session of the generated user with the API server."""

    def __init__(self, address: str, password: str) -> None:
        self._address, self._password = address, password
        self._token: str | None = None

    def unhealthy(self) -> list[str]:
        """The processes that are not (yet) healthy."""
        try:
            found = self._send("GET", "/api/v2/monitor/health", None, {})
        except AirworthyError:
            return list(_HEALTH.values())
        return [p for name, p in _HEALTH.items() if (found[name] or {}).get("status") != "healthy"]

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def have_pool(self, name: str, slots: int) -> None:
        """Create the pool where it is missing; one that somebody has sized stays as it is."""
        if name not in {pool["name"] for pool in self.get("pools?limit=1000")["pools"]}:
            self.call("POST", "pools", {"name": name, "slots": slots})

    def start(self, dag: str, key: str | None = None, given: dict[str, Any] | None = None) -> str:
        """Have a run of a DAG; its id. A second call with the same `key` gives the first's run.

        Args:
            given: the DAG's parameters.
        """
        run_id = key or str(uuid4())
        body = {"dag_run_id": run_id, "logical_date": None, "conf": given or {}}
        try:
            self._surely("POST", f"dags/{dag}/dagRuns", body)
        except Refused as refusal:
            if refusal.code != _EXISTS:
                raise
        return run_id

    def state(self, dag: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.get(f"dags/{dag}/dagRuns/{quote(run_id)}")["state"])

    def announce(self, asset: str, key: str) -> None:
        """Tell what waits for an asset that it has changed; once for each `key`."""
        found = self._surely("GET", f"assets?uri_pattern={quote(asset)}")["assets"]
        numbers = [each["id"] for each in found if asset in (each["uri"], each["name"])]
        if not numbers:
            raise AirworthyError(
                f"Airflow knows no asset {asset}.",
                kept="Nothing was announced.",
                todo="Name one that a DAG waits for; its page `Assets` lists them.",
            )
        for left in reversed(range(_TRIES)):
            known = self._surely("GET", f"assets/events?asset_id={numbers[0]}&order_by=-timestamp")
            if any(event["extra"].get("key") == key for event in known["asset_events"]):
                return
            try:
                body = {"asset_id": numbers[0], "extra": {"key": key}}
                self.call("POST", "assets/events", body)
                return
            except Refused:
                raise
            except AirworthyError:  # the answer was lost: is the event there?
                if not left:
                    raise

    def _surely(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
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

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call an endpoint below `/api/v2`; its answer.

        Raises:
            AirworthyError: the API server refuses; the message holds its reason.
        """
        if self._token is None:
            given = {"username": USER, "password": self._password}
            self._token = str(self._send("POST", "/auth/token", given, {})["access_token"])
        return self._send(
            method, f"/api/v2/{path}", body, {"Authorization": f"Bearer {self._token}"}
        )

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> Any:
        request = Request(  # noqa: S310 - the address is ours: loopback
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with _open(request, timeout=30) as answer:
                text = answer.read()
        except HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            raise Refused(f"Airflow refuses {method} {path}: {said}", error.code) from error
        except (URLError, HTTPException, OSError) as error:
            raise AirworthyError(
                f"Airflow's API server at {self._address} does not answer: {error}",
                kept="What it was doing goes on, or is found by the next run.",
                todo="`make airflow` starts it.",
            ) from error
        return json.loads(text) if text else None
