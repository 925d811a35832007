"""How the embedded PostgreSQL is set up: for short queries on one machine.

Writes one file in the server's data folder, which its own configuration includes.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = "airworthy.conf"


def write(data: Path, port: int, *, host: str, name: str) -> None:
    """Write it into the folder `data`, for this machine's memory."""
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    options = {
        "listen_addresses": f"'{host}'",
        "port": port,
        "unix_socket_directories": "''",
        "shared_buffers": f"{min(max(memory_mb // 8, 64), 4096)}MB",
        "effective_cache_size": f"{memory_mb // 2}MB",
        "work_mem": f"{min(max(memory_mb // 256, 8), 128)}MB",
        "maintenance_work_mem": f"{min(max(memory_mb // 64, 64), 512)}MB",
        "max_wal_size": "4GB",
        "wal_compression": "on",
        "checkpoint_timeout": "15min",
        "random_page_cost": 1.1,
        "jit": "off",  # these queries are short; compiling them costs more than it saves
        # A killed step's statement ends too, rather than holding its locks to the end.
        "client_connection_check_interval": "'1s'",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "cluster_name": f"'{name}'",
    }
    lines = (f"{option} = {value}\n" for option, value in options.items())
    (data / NAME).write_text("# Written at every start.\n" + "".join(lines))
