"""Which macros decide what a node becomes, and what of Jinja and SQL counts as a change.

Reads dbt's manifest; writes nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_OF_DBT = ("dbt", "dbt_postgres")
_DISPATCHED = re.compile(r"^(postgres|default)__")
_CALL = re.compile(r"\b(\w+)\s*\(")
_TOUCHES_JINJA = re.compile(r"\w[{]|[}]\w")


class Macros:
    """All macros of a manifest, and which of the project's stand in for others."""

    def __init__(self, manifest: Manifest) -> None:
        self._nodes, self._macros = manifest.nodes, manifest.macros
        self._instead: dict[str, list[str]] = defaultdict(list)
        for unique_id, macro in manifest.macros.items():
            if macro.package_name not in _OF_DBT:
                self._instead[_DISPATCHED.sub("", macro.name)].append(unique_id)

    def of_node(self, node: Any) -> Iterator[Any]:
        """The project's macros that `node` uses, directly or not; also by its way of building."""
        form = str(node.config.materialized)
        strategy = node.config.incremental_strategy if form == "incremental" else None
        by_form = (
            unique_id
            for unique_id, macro in self._macros.items()
            if (strategy and macro.name == f"get_incremental_{strategy}_sql")
            or macro.name.startswith(f"materialization_{form}_")
        )
        return self.below([*node.depends_on.macros, *by_form])

    def below(self, unique_ids: Iterable[str]) -> Iterator[Any]:
        """These and all that they call, without dbt's own: but with what stands in for those."""
        waiting, seen = list(unique_ids), set[str]()
        while waiting:
            unique_id = waiting.pop()
            macro = self._macros.get(unique_id)
            if macro is None or unique_id in seen:
                continue
            seen.add(unique_id)
            waiting += macro.depends_on.macros
            waiting += self._instead[_DISPATCHED.sub("", macro.name)]
            if macro.package_name not in _OF_DBT:
                yield macro

    def around_runs(self) -> list[list[str]]:
        """What runs before and after everything else, but for what keeps the ledger."""
        said: list[list[str]] = []
        for node in self._nodes.values():
            if str(node.resource_type) == "operation":
                # Not `depends_on`: dbt adds to it what it happened to read before.
                called = set(_CALL.findall(node.raw_code))
                mine = self.below(k for k, m in self._macros.items() if m.name in called)
                said.append(normalised(node.raw_code))
                said += [normalised(m.macro_sql) for m in mine if not is_ours(m)]
        return sorted(said)


def is_ours(macro: Any) -> bool:
    """It builds partitions or keeps the ledger; it says by itself what of `meta` it reads."""
    return str(macro.original_file_path).startswith(("macros/incremental/", "macros/ledger/"))


def normalised(code: str) -> list[str]:
    """The words of Jinja and SQL `code`, without comments and white space, keywords in lower case.

    A word that touches a brace of Jinja is marked: `a_{{ b }}` and `a_ {{ b }}` differ.
    """
    from sqlglot import TokenType
    from sqlglot.dialects.postgres import Postgres
    from sqlglot.errors import SqlglotError

    try:
        tokens = Postgres().tokenize(code)
    except SqlglotError:  # such as a lone quote inside Jinja's text: then every character counts
        return [code]
    verbatim = (TokenType.STRING, TokenType.IDENTIFIER, TokenType.VAR)
    words: list[str] = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if before is not None and before.end + 1 == token.start:
            edge = code[before.end] + code[token.start]
            words += ["+"] if _TOUCHES_JINJA.fullmatch(edge) else []
        text = token.text if token.token_type in verbatim else token.text.lower()
        words.append(f"{token.token_type.name} {text}")
    return words
