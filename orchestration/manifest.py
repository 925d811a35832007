"""What dbt's manifest says that every part of the pipeline must understand alike.

Pure.
"""

from __future__ import annotations

from typing import Any

CANDIDATE = "candidate"  # the schema of marts: what is built there is audited and published


def is_mart(node: Any) -> bool:
    """Whether what a node makes is audited and published.

    Args:
        node: of the manifest, as dbt's object or as its JSON file has it.
    """
    kind, config = (
        (node["resource_type"], node["config"])
        if isinstance(node, dict)
        else (node.resource_type, node.config)
    )
    return str(kind) == "model" and config.get("schema") == CANDIDATE
