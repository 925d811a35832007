"""From a stream of CSV bytes to frames of records with line numbers and raw text.

Reads a stream, writes nothing. Memory is bounded by the chunk size, whatever the file's size.
A chunk without quotes, carriage returns or odd bytes is cut by polars; any other by Python's csv
module, record by record, so that one damaged row never spoils its neighbours.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import polars as pl

CHUNK_BYTES = 2 * 2**20
RECORD_BYTES = 16 * 2**20
# None of these may occur in a chunk that is cut without looking at each record.
_SPECIAL = (b'"', b"\r", b"\0", b"\x1f")
_UNIT_SEPARATOR = "\x1f"

csv.field_size_limit(RECORD_BYTES)


class UnreadableFile(Exception):
    """The file as a whole cannot be cut into records; the message says why and where."""


@dataclass(frozen=True)
class Records:
    """Some records of a file.

    Attributes:
        frame: the well-formed ones: `line` (Int64, of the file, header is 1), `raw` (String)
            and one String column per field, named `0`, `1`, ...
        broken: the others, as (line, printable raw text, reason).
        verbatim: `raw` is exactly its fields joined by the delimiter.
    """

    frame: pl.DataFrame
    broken: list[tuple[int, str, str]]
    verbatim: bool


def read_header(stream: IO[bytes], delimiter: str) -> list[str]:
    """The names in the stream's first line; leaves the stream behind it.

    Raises:
        UnreadableFile: there is no line, or it is not text.
    """
    line = stream.readline(RECORD_BYTES)
    if not line.strip():
        raise UnreadableFile("the file is empty")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFile("the header is not UTF-8 text") from None
    return next(csv.reader([text.rstrip("\r\n")], delimiter=delimiter))


def read_records(stream: IO[bytes], delimiter: str, width: int) -> Iterator[Records]:
    """The records behind the header, in order, chunk by chunk; `width` fields each.

    Raises:
        UnreadableFile: a record is longer than 16 MiB, or a quote is never closed.
    """
    line = 2
    for chunk in _chunks(stream):
        yield _cut(chunk, line, delimiter, width)
        line += chunk.count(b"\n")


def printable(text: str) -> str:
    """`text` as PostgreSQL can keep it: NUL and bytes that are not UTF-8 become escapes."""
    return (
        text.encode("utf-8", "surrogateescape")
        .decode("utf-8", "backslashreplace")
        .replace("\0", "\\x00")
    )


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Pieces of whole records: each ends with a newline outside quotes."""
    pending = b""
    while piece := stream.read(CHUNK_BYTES):
        pending += piece
        end = _last_record_end(pending)
        if end:
            yield pending[:end]
            pending = pending[end:]
        if len(pending) > RECORD_BYTES:
            raise UnreadableFile("a record is longer than 16 MiB, or its quote is never closed")
    if pending:
        if pending.count(b'"') % 2:
            raise UnreadableFile("a quote is opened and never closed")
        yield pending if pending.endswith(b"\n") else pending + b"\n"


def _last_record_end(data: bytes) -> int:
    """Length of the longest prefix that ends with a newline outside quotes; 0 if there is none."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end)
    while end and quotes % 2:
        start = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', start, end)
        end = start
    return end


def _cut(chunk: bytes, line: int, delimiter: str, width: int) -> Records:
    if not any(special in chunk for special in _SPECIAL):
        quick = _cut_plain(chunk, line, delimiter, width)
        if quick is not None:
            return quick
    return _cut_carefully(chunk, line, delimiter, width)


def _cut_plain(chunk: bytes, line: int, delimiter: str, width: int) -> Records | None:
    """All records at once; None where one of them is not as wide as the header or not text."""
    try:
        chunk.decode("utf-8")
    except UnicodeDecodeError:
        return None
    raw = _read_strings(chunk, _UNIT_SEPARATOR, ["raw"])
    if raw.height != chunk.count(b"\n"):  # polars drops blank lines
        return None
    delimiters = raw["raw"].str.count_matches(delimiter, literal=True)
    if delimiters.min() != width - 1 or delimiters.max() != width - 1:
        return None
    fields = _read_strings(chunk, delimiter, [str(i) for i in range(width)])
    numbers = pl.int_range(line, line + raw.height, dtype=pl.Int64, eager=True).alias("line")
    return Records(pl.concat([numbers.to_frame(), raw, fields], how="horizontal"), [], True)


def _read_strings(chunk: bytes, separator: str, names: list[str]) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(chunk),
        has_header=False,
        separator=separator,
        quote_char=None,
        schema=dict.fromkeys(names, pl.String),
        empty_string_is_null=False,
    )


def _cut_carefully(chunk: bytes, line: int, delimiter: str, width: int) -> Records:
    good: list[tuple[int, str, list[str]]] = []
    broken: list[tuple[int, str, str]] = []
    for number, raw, fields in _parse(chunk.decode("utf-8", "surrogateescape"), line, delimiter):
        reason = _damage(raw, fields, width)
        if reason or isinstance(fields, str):
            broken.append((number, printable(raw), reason or str(fields)))
        else:
            good.append((number, raw, fields))
    columns: dict[str, pl.Series] = {
        "line": pl.Series([number for number, _, _ in good], dtype=pl.Int64),
        "raw": pl.Series([raw for _, raw, _ in good], dtype=pl.String),
    }
    for i in range(width):
        columns[str(i)] = pl.Series([fields[i] for _, _, fields in good], dtype=pl.String)
    return Records(pl.DataFrame(columns), broken, False)


def _parse(text: str, line: int, delimiter: str) -> Iterator[tuple[int, str, list[str] | str]]:
    """(line number, raw text, fields or why there are none) of each record."""
    lines = text.split("\n")[:-1]
    start = 0
    while start < len(lines):
        end = start + 1
        raw = lines[start]
        # A record goes on for as long as a quote is open.
        while raw.count('"') % 2 and end < len(lines):
            raw += "\n" + lines[end]
            end += 1
        raw = raw.removesuffix("\r")
        yield line + start, raw, _fields(raw, delimiter)
        start = end


def _fields(raw: str, delimiter: str) -> list[str] | str:
    try:
        rows = list(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return f"cannot be cut into fields: {error}"
    if len(rows) > 1:
        return "cannot be cut into fields: it holds a bare carriage return"
    return rows[0] if rows else []


def _damage(raw: str, fields: list[str] | str, width: int) -> str | None:
    if isinstance(fields, str):
        return fields
    if "\0" in raw:
        return "holds a NUL character"
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    if len(fields) != width:
        return f"has {len(fields)} fields instead of {width}"
    return None
