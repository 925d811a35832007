"""Where files land: a folder, or any place that fsspec or obstore can list and open.

Reads the landing place, writes nothing: a file stays there whatever becomes of it.
"""

from __future__ import annotations

import hashlib
import os
import time
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
        age: seconds since it was last written; None where only whole files can be seen.
    """

    uri: str
    path: str
    version: str
    size: int
    age: float | None = None


@dataclass(frozen=True)
class Landing:
    """The landing place: `files` lists it, `open` and `sha256` read one file."""

    url: str
    fs: Any
    root: str

    @classmethod
    def at(cls, url: str) -> Landing:
        """The landing place at a path or URL; S3 by `s3://bucket/prefix` and the AWS variables."""
        if url.startswith("s3://"):
            # Imported here: a local folder needs none of it.
            from obstore.fsspec import register

            register("s3")
        fs, root = fsspec.url_to_fs(url)
        return cls(url, fs, root.rstrip("/"))

    def files(self) -> list[File]:
        """All files but hidden ones, by path.

        Raises:
            UsageError: the landing place is not there.
        """
        if self._is_local and not self.fs.isdir(self.root):
            raise UsageError(
                f"The landing place {self.url} does not exist.",
                kept="Nothing was changed.",
                todo="Create it, or correct LANDING_URL; `make land` brings the demo's files.",
            )
        found = self.fs.find(self.root, detail=True)
        files = (self._file(path, info) for path, info in sorted(found.items()))
        return [file for file in files if not any(p.startswith(".") for p in file.uri.split("/"))]

    def now(self, file: File) -> File | None:
        """The file as it is now; None when it is gone."""
        try:
            return self._file(file.path, self.fs.info(file.path))
        except FileNotFoundError:
            return None

    def open(self, file: File) -> IO[bytes]:
        return cast(IO[bytes], self.fs.open(file.path, "rb"))

    def read(self, file: File) -> bytes:
        return cast(bytes, self.fs.cat_file(file.path))

    def sha256(self, file: File) -> str:
        digest = hashlib.sha256()
        with self.open(file) as stream:
            while piece := stream.read(2**20):
                digest.update(piece)
        return digest.hexdigest()

    @property
    def _is_local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")

    def _file(self, path: str, info: dict[str, Any]) -> File:
        below = path.removeprefix(self.root).lstrip("/")
        # A name need not be text: what is not is shown as escapes, here and in the ledger.
        uri = os.fsencode(below).decode("utf-8", "backslashreplace")
        uri = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in uri)
        known = {**info, "etag": info.get("e_tag") or info.get("ETag") or info.get("etag")}
        marks = (known.get(key) for key in ("version", "VersionId", "etag", "mtime", "ino"))
        version = "-".join(str(mark) for mark in (*marks, info["size"]) if mark is not None)
        age = time.time() - info["mtime"] if self._is_local and "mtime" in info else None
        return File(uri, path, version, int(info["size"]), age)
