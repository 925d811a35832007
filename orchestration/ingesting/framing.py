"""From CSV bytes to frames of records with line numbers and raw text.

Reads bytes, writes nothing. A chunk without quotes, carriage returns or odd bytes is cut by polars,
numbers parsed on the way; any other by Python's csv module, record by record, so that one damaged
row never spoils its neighbours.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

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
class Layout:
    """How a file's lines are to be cut.

    Attributes:
        names: the columns, in the file's order.
        numbers: which of them, by position as text, hold numbers, and of which type.
    """

    delimiter: str
    null_text: str
    names: tuple[str, ...]
    numbers: tuple[tuple[str, pl.DataType], ...] = ()

    @property
    def positions(self) -> list[str]:
        return [str(position) for position in range(len(self.names))]


@dataclass(frozen=True)
class Records:
    """Some records of a file.

    Attributes:
        frame: the well-formed ones: `line` (Int64, of the file, header is 1), `raw` (String)
            and one column per field, named `0`, `1`, ...
        broken: the others, as (line, printable raw text, reason).
        verbatim: `raw` is exactly the fields joined by the delimiter.
        typed: nulls are null and numbers are numbers; else every field is its text.
    """

    frame: pl.DataFrame
    broken: list[tuple[int, str, str]]
    verbatim: bool
    typed: bool


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


def read_records(stream: IO[bytes], layout: Layout) -> Iterator[Records]:
    """The records behind the header, in order, chunk by chunk.

    Raises:
        UnreadableFile: a record is longer than 16 MiB, or a quote is never closed.
    """
    line = 2
    for chunk in _chunks(stream):
        yield cut(chunk, line, layout)
        line += chunk.count(b"\n")


def cut(chunk: bytes, line: int, layout: Layout) -> Records:
    """The records of `chunk`, which ends with a newline; the first is line `line` of its file."""
    if not any(special in chunk for special in _SPECIAL):
        quick = _cut_plain(chunk, line, layout)
        if quick is not None:
            return quick
    return _cut_carefully(chunk, line, layout)


def as_texts(raw: pl.Series, layout: Layout) -> pl.DataFrame:
    """The fields, as texts, of lines that were cut without looking at each record."""
    body = ("\n".join(raw) + "\n").encode()
    return _read(body, layout.delimiter, dict.fromkeys(layout.positions, pl.String()))


def printable(text: str) -> str:
    """`text` as PostgreSQL can keep it: NUL and bytes that are not UTF-8 become escapes."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return whole.replace("\0", "\\x00")


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


def _cut_plain(chunk: bytes, line: int, layout: Layout) -> Records | None:
    """All records at once; None where one of them is not as wide as the header or not text.

    polars refuses a record that is too wide; if none is, and there are as many delimiters as there
    must be, then none is too narrow either.
    """
    try:
        chunk.decode("utf-8")
    except UnicodeDecodeError:
        return None
    height = chunk.count(b"\n")
    if chunk.count(layout.delimiter.encode()) != height * (len(layout.names) - 1):
        return None
    typed = _read_typed(chunk, layout)
    texts = dict.fromkeys(layout.positions, pl.String())
    try:
        fields = _read(chunk, layout.delimiter, texts) if typed is None else typed
    except pl.exceptions.ComputeError:
        return None
    raw = _read(chunk, _UNIT_SEPARATOR, {"raw": pl.String()})
    if raw.height != height or fields.height != height:
        return None
    numbers = pl.int_range(line, line + raw.height, dtype=pl.Int64, eager=True).alias("line")
    frame = pl.concat([numbers.to_frame(), raw, fields], how="horizontal")
    return Records(frame, [], verbatim=True, typed=typed is not None)


def _read_typed(chunk: bytes, layout: Layout) -> pl.DataFrame | None:
    """The fields with numbers as numbers; None where a text is not one, or is empty."""
    d = layout.delimiter.encode()
    # Looking for nulls costs a third of the reading.
    null_text = layout.null_text if layout.null_text.encode() in chunk else None
    empty = d * 2 in chunk or b"\n" + d in chunk or d + b"\n" in chunk or chunk.startswith(d)
    if not layout.numbers or (layout.null_text and empty):
        return None  # polars would take an empty text for a null
    schema: dict[str, Any] = dict.fromkeys(layout.positions, pl.String()) | dict(layout.numbers)
    try:
        return _read(chunk, layout.delimiter, schema, null_text)
    except pl.exceptions.ComputeError:
        return None


def _read(
    chunk: bytes, separator: str, schema: dict[str, Any], null_text: str | None = None
) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(chunk),
        has_header=False,
        separator=separator,
        quote_char=None,
        schema=schema,
        null_values=null_text or None,
        empty_string_is_null=null_text == "",
    )


def _cut_carefully(chunk: bytes, line: int, layout: Layout) -> Records:
    good: list[tuple[int, str, list[str]]] = []
    broken: list[tuple[int, str, str]] = []
    text = chunk.decode("utf-8", "surrogateescape")
    for number, raw, fields in _parse(text, line, layout.delimiter):
        reason = _damage(raw, fields, len(layout.names))
        if reason or isinstance(fields, str):
            broken.append((number, printable(raw), reason or str(fields)))
        else:
            good.append((number, raw, fields))
    columns: dict[str, pl.Series] = {
        "line": pl.Series([number for number, _, _ in good], dtype=pl.Int64),
        "raw": pl.Series([raw for _, raw, _ in good], dtype=pl.String),
    }
    for i, name in enumerate(layout.positions):
        columns[name] = pl.Series([fields[i] for _, _, fields in good], dtype=pl.String)
    return Records(pl.DataFrame(columns), broken, verbatim=False, typed=False)


def _parse(text: str, line: int, delimiter: str) -> Iterator[tuple[int, str, list[str] | str]]:
    """(line number, raw text, fields or why there are none) of each record."""
    lines = text.split("\n")[:-1]
    start = 0
    while start < len(lines):
        end = start + 1
        pieces = [lines[start]]
        quotes = lines[start].count('"')
        # A record goes on for as long as a quote is open.
        while quotes % 2 and end < len(lines):
            pieces.append(lines[end])
            quotes += lines[end].count('"')
            end += 1
        raw = "\n".join(pieces).removesuffix("\r")
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
