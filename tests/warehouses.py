"""Databases on a server of the tests: empty ones, and copies of one that was prepared."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from orchestration import database, settings
from orchestration.settings import PROJECT, Settings


def new(server: Settings, folder: Path, template: str = "template1") -> Settings:
    """Settings of a new database, with a landing place and a var of its own below `folder`."""
    name = f"test_{secrets.token_hex(4)}"
    with database.connect(server) as connection:
        connection.execute(f"create database {name} template {template}")
    url = "postgresql://{PGUSER}@{PGHOST}:{PGPORT}/{name}?passfile={PGPASSFILE}"
    return of(folder, url.format(name=name, **database.address(server)))


def of(folder: Path, url: str) -> Settings:
    """The same for a database that is there."""
    landing = folder / "landing"
    landing.mkdir(parents=True)
    environment = {
        "WAREHOUSE_URL": url, "VAR_DIR": str(folder / "var"), "LANDING_URL": str(landing),
        "REQUESTED_BY": "tester",
    }  # fmt: skip
    return replace(settings.load(environment), project=PROJECT)


def name_of(given: Settings) -> str:
    """The database's own name."""
    return database.address(given)["PGDATABASE"]


@dataclass(frozen=True)
class Kept:
    """A warehouse that tests start from copies of. Nobody may be connected to it any more."""

    given: Settings
    server: Settings

    def copy(self, folder: Path) -> Settings:
        """Its database, what landed and what it has written, below `folder`."""
        made = new(self.server, folder / "copy", name_of(self.given))
        shutil.copytree(self.given.landing_url, made.landing_url, dirs_exist_ok=True)
        shutil.copytree(self.given.var, made.var)
        return replace(made, settle_seconds=self.given.settle_seconds)
