"""Who hears of what: `observability/routes.yml`, or the file that ALERT_ROUTES names.

Reads that file, and the variables and files that its URLs name for secrets; writes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestration import settings
from orchestration.alerting.alerts import SEVERITIES
from orchestration.errors import UsageError
from orchestration.ingesting.contracts import demand
from orchestration.settings import Settings

STDOUT = "stdout"
_SECRET = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True)
class Channel:
    """Where messages go: `stdout`, or a URL as apprise knows it, secrets left out."""

    name: str
    target: str

    def url(self, folder: Path) -> tuple[str, tuple[str, ...]]:
        """The URL with its secrets, and these secrets.

        Raises:
            ValueError: a variable is not set, or a file cannot be read; the message names it.
        """
        secrets = [_secret(name, folder) for name in _SECRET.findall(self.target)]
        left = iter(secrets)
        return _SECRET.sub(lambda _: next(left), self.target), tuple(secrets)


@dataclass(frozen=True)
class Route:
    """Which alerts go where; no severities or no owners mean all."""

    severities: frozenset[str]
    owners: frozenset[str]
    to: tuple[Channel, ...]

    def fits(self, severity: str, owner: str) -> bool:
        return (not self.severities or severity in self.severities) and (
            not self.owners or owner in self.owners
        )


@dataclass(frozen=True)
class Routes:
    """All routes, in the order in which they are asked."""

    routes: tuple[Route, ...]

    def of(self, severity: str, owner: str) -> tuple[Channel, ...]:
        """The channels of the first route that fits; the last one always does."""
        return next(route.to for route in self.routes if route.fits(severity, owner))


def load(given: Settings) -> Routes:
    """The routes.

    Raises:
        UsageError: the file is missing or wrong; the message says where.
    """
    path = given.alert_routes
    try:
        return _read(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"The alert routes {path} cannot be used: {reason}",
            kept="Alerts are in the ledger and wait to be told.",
            todo="Correct the file as docs/alerts.md says, then run `make watch`.",
        ) from error


def _read(content: Any) -> Routes:
    demand(isinstance(content, dict), "it is no mapping with channels and routes")
    _only(content, {"channels", "routes"}, "the file")
    channels = content.get("channels")
    demand(isinstance(channels, dict) and bool(channels), "channels is missing or empty")
    known = {}
    for name, target in channels.items():
        fits = isinstance(target, str) and (target == STDOUT or "://" in target)
        fits = fits or (isinstance(target, str) and bool(_SECRET.fullmatch(target)))
        demand(fits, f"channel {name} is neither {STDOUT} nor a URL")
        known[str(name)] = Channel(str(name), target)
    listed = content.get("routes")
    demand(isinstance(listed, list) and bool(listed), "routes is missing or empty")
    routes = tuple(_route(number, route, known) for number, route in enumerate(listed, 1))
    last = routes[-1]
    demand(not last.severities and not last.owners, "the last route must fit every alert")
    return Routes(routes)


def _route(number: int, route: Any, known: dict[str, Channel]) -> Route:
    where = f"route {number}"
    demand(isinstance(route, dict), f"{where} is no mapping")
    _only(route, {"severity", "owner", "to"}, where)
    severities = _several(route, "severity")
    unknown = severities - set(SEVERITIES)
    demand(not unknown, f"{where}: severity {sorted(unknown)} is none of {', '.join(SEVERITIES)}")
    to = _several(route, "to")
    demand(bool(to), f"{where} says not where to")
    demand(to <= set(known), f"{where}: there is no channel {', '.join(sorted(to - set(known)))}")
    return Route(severities, _several(route, "owner"), tuple(known[name] for name in sorted(to)))


def _several(route: dict[str, Any], name: str) -> frozenset[str]:
    given = route.get(name, [])
    return frozenset(str(item) for item in (given if isinstance(given, list) else [given]))


def _only(content: dict[str, Any], names: set[str], where: str) -> None:
    unknown = sorted(str(name) for name in content if name not in names)
    demand(not unknown, f"{where} has an unknown entry: {', '.join(unknown)}")


def _secret(name: str, folder: Path) -> str:
    if name.startswith("file:"):
        path = folder / name.removeprefix("file:")
        try:
            text = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        demand(bool(text), f"{path} is empty")
        return text
    value = settings.variable(name, folder)
    demand(bool(value), f"the variable {name} is not set")
    return value or ""
