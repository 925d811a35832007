"""Where files land: a folder, or any place that fsspec can list and open (`LANDING_URL`).

Reads the landing place, writes nothing: a file stays there whatever becomes of it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import IO, Any, cast

import fsspec

from orchestration.errors import UsageError


@dataclass(frozen=True)
class File:
    """One landed file, as listed.

    Attributes:
        uri: path below the landing place, printable.
        path: what the file system opens it by.
        version: changes whenever the file is written again, even with the same bytes.
        size: bytes.
    """

    uri: str
    path: str
    version: str
    size: int


@dataclass(frozen=True)
class Landing:
    """The landing place: `files` lists it, `open` and `sha256` read one file."""

    url: str
    fs: Any
    root: str

    @classmethod
    def at(cls, url: str) -> Landing:
        fs, root = fsspec.url_to_fs(url)
        return cls(url, fs, root.rstrip("/"))

    def files(self) -> list[File]:
        """All files but hidden ones, by path.

        Raises:
            UsageError: the landing place is not there.
        """
        if not self.fs.isdir(self.root):
            raise UsageError(
                f"The landing place {self.url} does not exist.",
                kept="Nothing was changed.",
                todo="Create it, or correct LANDING_URL; `make land` brings the demo's files.",
            )
        found = self.fs.find(self.root, detail=True)
        files = (self._file(path, info) for path, info in sorted(found.items()))
        return [file for file in files if not any(p.startswith(".") for p in file.uri.split("/"))]

    def open(self, file: File) -> IO[bytes]:
        return cast(IO[bytes], self.fs.open(file.path, "rb"))

    def sha256(self, file: File) -> str:
        with self.open(file) as stream:
            return hashlib.file_digest(cast(Any, stream), "sha256").hexdigest()

    def _file(self, path: str, info: dict[str, Any]) -> File:
        below = path.removeprefix(self.root).lstrip("/")
        # A name need not be text: what is not is shown as escapes, here and in the ledger.
        uri = os.fsencode(below).decode("utf-8", "backslashreplace")
        uri = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in uri)
        marks = (info.get(key) for key in ("VersionId", "ETag", "etag", "mtime", "ino"))
        version = "-".join(str(mark) for mark in (*marks, info["size"]) if mark is not None)
        return File(uri, path, version, int(info["size"]))
