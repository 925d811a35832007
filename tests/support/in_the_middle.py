"""A test run for `test_keeper.py` to end: starts what tests start, says so, and goes on or ends.

A PostgreSQL, and a process that leads a session of its own and is nobody's child.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from orchestration.warehouse_server import embedded
from tests.support import states

_LEAVE = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)"


def test_that_is_in_the_middle(tmp_path: Path) -> None:
    embedded.start(embedded.locate(states.with_server(tmp_path / "here").settings))
    subprocess.run([sys.executable, "-W", "ignore", "-c", _LEAVE], check=True)
    Path(os.environ["STARTED"]).touch()
    if os.environ["THEN"] == "waits":
        time.sleep(1000)
    assert os.environ["THEN"] == "is green"
