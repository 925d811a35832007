"""Tokens in place of restricted values: the same value always gives the same token, and without the
key nobody gets from a token to a value.

A token is `<key id>:<HMAC-SHA-256 of the value, 128 bits in hex>`. The key id tells after a
rotation which key a token was made with.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from orchestration.errors import UsageError
from orchestration.settings import Settings

_SHORTEST = 16


@dataclass(frozen=True)
class Key:
    """A tokenisation key; never printed."""

    secret: bytes = field(repr=False)

    @cached_property
    def id(self) -> str:
        return hashlib.sha256(b"airworthy token key id" + self.secret).hexdigest()[:8]

    def token(self, value: str) -> str:
        digest = hmac.new(self.secret, value.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"{self.id}:{digest.hexdigest()[:32]}"

    def tokens(self, values: pl.Series) -> pl.Series:
        """Tokens of many values; nulls stay null."""
        found = {value: self.token(value) for value in values.unique() if value is not None}
        if not found:
            return values
        return values.replace_strict(found, default=None, return_dtype=pl.String)


def load(settings: Settings, source: str) -> Key:
    """The key that `TOKEN_KEY_FILE` or `TOKEN_KEY` gives.

    Raises:
        UsageError: there is none, or it is too short; then nothing of the source is loaded.
    """
    secret = settings.token_key
    if settings.token_key_file is not None:
        try:
            secret = settings.token_key_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UsageError(
                f"TOKEN_KEY_FILE cannot be read: {error.strerror}",
                kept=f"Nothing of {source} was loaded.",
                todo="Correct TOKEN_KEY_FILE; see docs/contracts.md, Restricted columns.",
            ) from error
    if secret is None or len(secret) < _SHORTEST:
        raise UsageError(
            f"{source} has restricted columns, but there is no key of {_SHORTEST} characters or"
            " more to tokenise them.",
            kept=f"Nothing of {source} was loaded.",
            todo="Set TOKEN_KEY_FILE or TOKEN_KEY; see docs/contracts.md, Restricted columns.",
        )
    return Key(secret.encode())
