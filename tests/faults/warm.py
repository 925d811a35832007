"""A process that has everything loaded and forks commands: real processes, started at once.

`python -m orchestration <verb>` loads for seconds; here each command is a fork of a process that
has loaded already, and can be killed like any other. Reads from standard input one line of JSON
per request: {arguments, variables, output} starts a command and answers its process id; {reap}
answers how a process ended, negative if by a signal. The process that judges expectations is
forked as well, from a second one that has Great Expectations loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

_OF_COMMANDS = (
    "dbt.adapters.postgres", "dbt.cli.main", "dbt.task.build", "polars", "orchestration.cli",
    "orchestration.auditing.auditor", "orchestration.auditing.gate", "orchestration.run",
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
        _serve_commands((sys.executable, "-S", "-E", "-c", _CLIENT, path))
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(path)
        os.wait()


def _serve_commands(auditor: tuple[str, ...]) -> None:
    for name in _OF_COMMANDS:
        importlib.import_module(name)
    vars(sys.modules["orchestration.auditing.auditor"])["COMMAND"] = auditor
    for line in sys.stdin:
        asked = json.loads(line)
        if "reap" in asked:
            _, status = os.waitpid(asked["reap"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork() or _become(**asked)
        print(answer, flush=True)


def _become(arguments: list[str], variables: dict[str, str], output: str) -> int:
    """Be the command, to the end."""
    import orchestration.cli

    nothing, written = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY)
    for theirs, mine in enumerate((nothing, written, written)):
        os.dup2(mine, theirs)
    os.environ.update(variables)
    sys.argv[1:] = arguments
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


def _serve_auditors(server: socket.socket) -> int:
    for name in _OF_AUDITORS:
        importlib.import_module(name)
    from orchestration.auditing import expectations

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
            finally:
                sys.stderr.flush()
                os._exit(code)
        for file in files:
            os.close(file)
        client.close()


if __name__ == "__main__":
    main()
