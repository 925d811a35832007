"""Install the Debian packages that some tests need, where this user may (root, with apt)."""

from __future__ import annotations

import os
import shutil
import subprocess

from orchestration.settings import environment_with
from tests.support.needs import NEEDS


def main() -> None:
    missing = [need.package for need in NEEDS if need.find() is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return  # pytest lists what it could not run, and the command that enables it
    print(f"   setup  installing Debian packages for tests: {', '.join(missing)}", flush=True)
    environment = environment_with({"DEBIAN_FRONTEND": "noninteractive"})
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-qq"], install):
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
