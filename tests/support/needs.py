"""Programs outside Python's packages that some tests need."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """A program, the Debian package that brings it, and where it lies."""

    name: str
    package: str
    pattern: str

    def find(self) -> Path | None:
        """The newest match of the pattern that can be run; None when it is not installed."""
        found = [path for path in sorted(Path("/").glob(self.pattern)) if os.access(path, os.X_OK)]
        return found[-1] if found else None


POSTGRESQL = Need("postgresql", "postgresql", "usr/lib/postgresql/1[5-7]/bin/initdb")
CHROMIUM = Need("chromium", "chromium", "usr/bin/chromium")
REDIS = Need("redis", "redis-server", "usr/bin/redis-server")
PROMETHEUS = Need("prometheus", "prometheus", "usr/bin/promtool")
NEEDS = (POSTGRESQL, CHROMIUM, REDIS, PROMETHEUS)
