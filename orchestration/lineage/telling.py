"""What events are made with: settings, a connection, names of places, the code of runs.

Reads the ledger; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.rows import namedtuple_row

from orchestration import database
from orchestration.lineage.events import Place
from orchestration.lineage.project import Project, recall
from orchestration.settings import Settings


@dataclass(frozen=True)
class Pending:
    """Events that belong together, and what is noted once they were taken.

    Attributes:
        what: deliveries, build, gate, publish or end.
        id: of the run; of deliveries 0.
        until: of deliveries, the newest.
        boundaries: how many beginnings and ends of the run were told with it.
    """

    what: str
    id: int
    until: int | None
    happened_at: datetime
    events: list[dict[str, Any]]
    boundaries: int | None = None


@dataclass
class Telling:
    """What all events are made with."""

    settings: Settings
    connection: database.Connection
    place: Place
    projects: dict[str, Project | None] = field(default_factory=dict)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(query, parameters or None).fetchall()

    def project(self, code_version: str) -> Project | None:
        if code_version not in self.projects:
            self.projects[code_version] = recall(self.connection, code_version)
        return self.projects[code_version]
