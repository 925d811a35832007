"""A process that has everything loaded and forks commands: real processes, started at once.

Listens at the socket that its argument names. Each connection is one line of JSON: {arguments,
variables, output, kind} starts a verb, a function of `orchestration.steps`, or dbt's reading of
the project, and is answered with its process id; {reap} is answered with how a process ended,
negative if by a signal. The process that judges expectations is forked as well, from a second one
that has Great Expectations loaded.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import click

from orchestration import preload

_OF_COMMANDS = (
    "dbt.adapters.postgres", "dbt.cli.main", "dbt.task.build", "dbt_common.clients.agate_helper",
    "polars", "orchestration.cli",
    "orchestration.auditing.auditor", "orchestration.auditing.gate", "orchestration.run",
    "orchestration.steps", "orchestration.publishing.report", "orchestration.overview.page",
    "orchestration.ingesting.ingest", "orchestration.migrations.migrate", "alembic.command",
    "orchestration.backfills.run", "orchestration.watching.watch", "orchestration.lineage.tell",
    "orchestration.lineage.steps", "orchestration.lineage.columns", "orchestration.narrate",
    "orchestration.publishing.publish", "orchestration.alerting.outbox", "sqlglot",
)  # fmt: skip
_OF_AUDITORS = (
    "great_expectations", "great_expectations.datasource.fluent", "psycopg2",
    "sqlalchemy.dialects.postgresql",
)  # fmt: skip
# What the auditor's command is instead: it hands its files on and lives as long as who has them.
_CLIENT = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    socket.send_fds(server, [json.dumps([dict(os.environ), sys.argv[2]]).encode()], [0, 1, 2])
    server.recv(1)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "auditors"))
        server = socket.create_server(path, family=socket.AF_UNIX)
        if os.fork() == 0:
            os._exit(_serve_auditors(server))
        server.close()
        _serve_commands(Path(sys.argv[1]), (sys.executable, "-S", "-E", "-c", _CLIENT, path))


def _serve_commands(path: Path, auditor: tuple[str, ...]) -> None:
    for name in _OF_COMMANDS:
        importlib.import_module(name)
    vars(sys.modules["orchestration.auditing.auditor"])["COMMAND"] = auditor
    resource_tracker.ensure_running()  # one for all copies
    preload.let_dbt_read_a_project()
    gc.freeze()  # copies need not look through all of this, which would copy it in memory
    fresh = path.with_suffix(".new")
    with socket.create_server(str(fresh), family=socket.AF_UNIX, backlog=20) as listening:
        fresh.rename(path)
        while True:
            client, _ = listening.accept()
            with client, client.makefile("r") as asking:
                asked = json.loads(asking.readline())
                if "reap" in asked:
                    _, status = os.waitpid(asked["reap"], 0)
                    answer = os.waitstatus_to_exitcode(status)
                else:
                    answer = os.fork() or _become([listening, client], **asked)
                client.sendall(f"{answer}\n".encode())


def _become(
    inherited: list[socket.socket],
    arguments: list[str],
    variables: dict[str, str],
    output: str,
    kind: str,
) -> int:
    """Be the command, to the end."""
    import orchestration.cli

    for each in inherited:
        each.close()
    nothing, written = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY)
    for theirs, mine in enumerate((nothing, written, written)):
        os.dup2(mine, theirs)
    os.environ.update(variables)
    os.chdir(variables.get("DBT_PROJECT_DIR", "."))
    if kind != "verb":
        other = click.Command(kind, callback=lambda: _do(kind, arguments, Path(output)))
        orchestration.cli.cli.add_command(other)
    sys.argv[1:] = arguments if kind == "verb" else [kind]
    code = 1
    try:
        orchestration.cli.main()
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _do(kind: str, arguments: list[Any], output: Path) -> None:
    """What is no verb, with the errors and exit codes of one."""
    from orchestration import settings, steps
    from orchestration.building.build import parse

    if kind == "parse":
        parse(settings.load(), write=True)
        return
    name, *given = arguments
    if name in steps.LISTENING:
        given.append(lambda node, status: None)
    returned = getattr(steps, name)(*given)
    output.with_suffix(".returned").write_text(json.dumps(returned))


def _serve_auditors(server: socket.socket) -> int:
    for name in _OF_AUDITORS:
        importlib.import_module(name)
    from orchestration.auditing import expectations

    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    while True:
        client, _ = server.accept()
        text, files, _, _ = socket.recv_fds(client, 2**20, 3)
        if not files:
            return 0
        if os.fork() == 0:
            for theirs, mine in enumerate(files):
                os.dup2(mine, theirs)
            variables, url = json.loads(text)
            os.environ.clear()
            os.environ.update(variables)
            code = 1
            try:
                expectations.main(url)
                code = 0
            except Exception:
                sys.excepthook(*sys.exc_info())  # `Auditor` reads the last line that was said
            finally:
                sys.stderr.flush()
                os._exit(code)
        for file in files:
            os.close(file)
        client.close()


if __name__ == "__main__":
    main()
