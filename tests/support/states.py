"""States that tests start from: made once per run, then copied as databases and folders.

All copies live on one embedded PostgreSQL, which forgets its data on a power failure; faults of
the database itself need a server of their own (`with_server`). A worker uses the same few databases
again and again, by name: dbt reads a project anew, for seconds, where its database has another one.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from orchestration import database
from orchestration.warehouse_server import embedded
from tests.support import checkout, files, keeper, shared
from tests.support.checkout import Checkout

Act = Callable[[Checkout], object]
Project = Callable[[Path], None]
_in_use: set[str] = set()


def copy(state: str, folder: Path) -> Checkout:
    """A checkout in the state of that name, one of `_STATES`."""
    made = shared.once(state, lambda kept: _make(state, kept))
    for part in ("project", "var"):
        shutil.copytree(made / part, folder / part)
    # Linked, so that they are still the files that were looked at; `files.write` replaces them.
    shutil.copytree(made / "landing", folder / "landing", copy_function=os.link)
    return _parsed(_with_database(folder, state))


def with_server(folder: Path, project: Project = checkout.make_small_project) -> Checkout:
    """An empty checkout with an embedded PostgreSQL of its own, not yet started."""
    made = Checkout(folder)
    project(made.project)
    keeper.remove_at_the_end(embedded.locate(made.settings).home)
    return made


def server() -> Checkout:
    """The checkout that owns the server of all copies."""
    return Checkout(shared.once("server", _start_server))


def _start_server(folder: Path) -> None:
    made = with_server(folder)
    made.call("up")
    with made.connect() as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"alter system set {setting} = off")
        connection.execute("select pg_reload_conf()")
    with made.connect(dbname="postgres") as connection:
        connection.execute("create database state_nothing template airworthy")


def _with_database(folder: Path, template: str) -> Checkout:
    name = _free_name()
    with server().connect(dbname="postgres") as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} template state_{template}")
    where = database.address(server().settings)
    url = "postgresql://{PGUSER}@{PGHOST}:{PGPORT}/{name}?passfile={PGPASSFILE}"
    return Checkout(folder, {"WAREHOUSE_URL": url.format(name=name, **where)})


def _free_name() -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    name = next(n for n in (f"{worker}_{i}" for i in itertools.count(1)) if n not in _in_use)
    _in_use.add(name)
    return name


def _parsed(made: Checkout) -> Checkout:
    """With what dbt made of this project in this database, where nobody changed it since."""
    name = "dbt/partial_parse.msgpack"
    project = sha256()
    for path in sorted(path for path in made.project.rglob("*") if path.is_file()):
        project.update(path.read_bytes())
    key = f"parsed-{project.hexdigest()[:8]}-{name_of(made)}"
    kept = shared.once(key, lambda folder: _parse(made, folder / "partial_parse.msgpack"))
    (made.var / name).parent.mkdir(exist_ok=True)
    shutil.copy2(kept / "partial_parse.msgpack", made.var / name)
    return made


def _parse(made: Checkout, kept: Path) -> None:
    made.parse()
    shutil.copy2(made.var / "dbt/partial_parse.msgpack", kept)


def renew(made: Checkout, state: str) -> None:
    """Give a copy its database anew, in the state of that name; its folders stay."""
    shared.once(state, lambda kept: _make(state, kept))
    name = name_of(made)
    with server().connect(dbname="postgres") as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} template state_{state}")


def drop(made: Checkout) -> None:
    """Let go of a copy's database."""
    _in_use.discard(name_of(made))


def name_of(made: Checkout) -> str:
    """The name of its database."""
    return database.address(made.settings)["PGDATABASE"]


def _make(state: str, folder: Path) -> None:
    base, project, act = _STATES[state]
    if base:
        made = copy(base, folder)
    else:
        project(folder / "project")
        made = _with_database(folder, "nothing")
    act(made)
    with server().connect(dbname="postgres") as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
            [name_of(made)],
        )
        connection.execute(f"alter database {name_of(made)} rename to state_{state}")
    drop(made)


def _publish_two_days(made: Checkout) -> None:
    made.list_stations()
    for n in range(2):
        made.land(files.DAY + timedelta(n))
        made.call("run")


def _let_a_run_be_due(made: Checkout) -> None:
    made.correct()
    made.land(files.DAY + timedelta(2))


def _publish_flights(made: Checkout) -> None:
    made.land_flights(files.DAY, 3)
    made.call("run")


def _begin_histories(made: Checkout) -> None:
    from tests.support.histories import publish_begun  # which imports this module

    publish_begun(made)


def _build(made: Checkout) -> None:
    for step in ("ingest", "plan", "build"):
        made.call(step)


def _run(made: Checkout) -> None:
    made.call("run")


def _correct_two_of_three_days(made: Checkout) -> None:
    """Around the end of March, published at once; two days corrected since, and taken in."""
    days = [files.TURN + timedelta(n) for n in range(3)]
    made.list_stations()
    for day in days:
        made.deliver(files.readings(day, hours=4), day)
    made.call("run")
    for day in (days[0], days[2]):
        made.deliver(files.rekeyed(day), day)
    made.call("ingest")


def _publish_three_times(made: Checkout) -> None:
    """A day; another; the first corrected: of its readings one changed, two are gone, one is new.

    What each publication held stands in `digests.json`.
    """
    header, _, _, _, *rows = files.readings()
    corrected = [header, files.reading(hour=-1), files.reading(number=1, rain=7), *rows]
    found = []
    made.list_stations()
    for day, lines in ((0, files.readings()), (1, None), (0, corrected)):
        at = files.DAY + timedelta(day)
        made.deliver(lines or files.readings(at), at)
        made.call("run")
        found.append(made.digests())
    (made.var / "digests.json").write_text(json.dumps(found))


def _hold_back(made: Checkout) -> None:
    """Publish two days; two hostile rows of the second and the file of a third are held back."""
    second = files.DAY + timedelta(1)
    hostile = "<script>document.title='broken'</script>"
    rows = [files.reading(second, 24, observer=hostile),
            files.reading(second, 25, station="<script>alert()")]  # fmt: skip
    made.list_stations()
    made.land(files.DAY)
    made.deliver([*files.readings(second), *rows], second)
    made.deliver(["<b>,b", "1,2"], second + timedelta(1))
    made.call("run", code=4)


def _nothing(made: Checkout) -> None:
    """As it is."""


# Name: the state that it grows from, the project, and what happens.
_STATES: dict[str, tuple[str | None, Project, Act]] = {
    "empty": (None, checkout.make_small_project, _nothing),
    "published": ("empty", checkout.make_small_project, _publish_two_days),
    "due": ("published", checkout.make_small_project, _let_a_run_be_due),
    "flights": (None, checkout.make_real_project, _nothing),
    "published_flights": ("flights", checkout.make_real_project, _publish_flights),
    "wide": (None, checkout.make_wide_project, _nothing),
    "begun": ("wide", checkout.make_wide_project, _begin_histories),
    "built": ("due", checkout.make_small_project, _build),
    "three_publications": ("empty", checkout.make_small_project, _publish_three_times),
    "held_back": ("empty", checkout.make_small_project, _hold_back),
    "caught_up": ("due", checkout.make_small_project, _run),
    "calendar": (None, checkout.make_calendar_project, _nothing),
    "two_corrected": ("calendar", checkout.make_calendar_project, _correct_two_of_three_days),
}
