"""Install the Debian packages that some tests need, where this user may (root, with apt)."""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tests.needs import NEEDS


def main() -> None:
    missing = [need.package for need in NEEDS if need.find() is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return  # pytest lists what it could not run, and the command that enables it
    print(f"   setup  installing Debian packages for tests: {', '.join(missing)}", flush=True)
    quiet = {
        "stdout": subprocess.DEVNULL,
        "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    }
    subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        check=True,
        **quiet,
    )


if __name__ == "__main__":
    main()
