"""Airflow's public REST API, as far as this project needs it.

Speaks HTTP to the API server on loopback; writes what the called endpoint writes.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

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


class Client:
    """A session of the generated user with the API server."""

    def __init__(self, address: str, password: str) -> None:
        self._address, self._password = address, password
        self._token: str | None = None

    def unhealthy(self) -> list[str]:
        """The processes that are not (yet) healthy."""
        try:
            found = self._send("GET", "/api/v2/monitor/health", None, {})
        except (URLError, OSError):
            return list(_HEALTH.values())
        return [p for name, p in _HEALTH.items() if (found[name] or {}).get("status") != "healthy"]

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def have_pool(self, name: str, slots: int) -> None:
        """Create the pool where it is missing; one that somebody has sized stays as it is."""
        if name not in {pool["name"] for pool in self.get("pools?limit=1000")["pools"]}:
            self.call("POST", "pools", {"name": name, "slots": slots})

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
        except URLError as error:
            if not hasattr(error, "code"):
                raise
            said = error.read().decode(errors="replace")  # type: ignore[attr-defined]
            raise AirworthyError(f"Airflow refuses {method} {path}: {said[:500]}") from error
        return json.loads(text) if text else None
