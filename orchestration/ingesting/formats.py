"""Files of every format that a contract can name, as records: CSV, JSON Lines, Parquet; plain,
`.gz` or `.zst`; in any encoding.

Reads one landed file, writes nothing.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

import polars as pl
import zstandard

from orchestration.ingesting import framing
from orchestration.ingesting.contracts import Contract
from orchestration.ingesting.framing import Layout, Records, UnreadableFile
from orchestration.ingesting.landing import File, Landing

BROKEN = (UnreadableFile, EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)
_LINES = 20_000


@dataclass(frozen=True)
class Opened:
    """A file that is open for reading: its columns, and its records by layout."""

    header: list[str]
    records: Callable[[Layout], Iterator[Records]]


@contextmanager
def opened(landing: Landing, file: File, contract: Contract) -> Iterator[Opened]:
    """Open a file as its contract says.

    Raises:
        UnreadableFile: it is larger than the contract allows, or has no readable header.
    """
    with landing.open(file) as raw:
        stream = decoded(raw, file.uri, contract)
        if contract.format == "csv":
            header = framing.read_header(stream, contract.delimiter)
            yield Opened(header, lambda layout: framing.read_records(stream, layout))
        elif contract.format == "jsonl":
            header = _json_header(stream, contract)
            yield Opened(header, lambda _: _json_records(stream, header))
        else:
            with tempfile.NamedTemporaryFile(suffix=".parquet") as whole:
                shutil.copyfileobj(stream, whole)
                whole.flush()
                header = _parquet_header(whole.name)
                yield Opened(header, lambda _: _parquet_records(whole.name, header))


def decoded(raw: IO[bytes], uri: str, contract: Contract) -> IO[bytes]:
    """`raw` decompressed, limited in size and, if text, in UTF-8."""
    stream: IO[bytes] = raw
    if uri.endswith(".gz"):
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    elif uri.endswith(".zst"):
        stream = cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(raw))
    limited = _Limited(stream, contract.max_bytes)
    if contract.format != "parquet" and codecs.lookup(contract.encoding).name != "utf-8":
        limited = _Limited(
            cast(Any, _Transcoded(cast(Any, limited), contract.encoding)), contract.max_bytes
        )
    return cast(IO[bytes], io.BufferedReader(cast(Any, limited), framing.CHUNK_BYTES))


class _Limited(io.RawIOBase):
    """A stream that may not be longer than it is allowed to be."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left, self._most = stream, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise UnreadableFile(f"it is longer than {self._most:,} bytes, the contract's maxBytes")
        buffer[: len(piece)] = piece
        return len(piece)


class _Transcoded:
    """A stream of another encoding, as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = io.BufferedReader(cast(Any, stream), framing.CHUNK_BYTES)
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._encoding, self._pending = encoding, b""

    def read(self, size: int) -> bytes:
        while not self._pending:
            piece = self._stream.read(size)
            try:
                text = self._decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                raise UnreadableFile(f"it is not {self._encoding} text: {error.reason}") from error
            self._pending = text.encode()
            if not piece:
                break
        out, self._pending = self._pending[:size], self._pending[size:]
        return out


def _json_header(stream: IO[bytes], contract: Contract) -> list[str]:
    """The contract's columns, a record may leave some out; and what the first adds to them."""
    first = cast(Any, stream).peek(1)
    if not first:
        raise UnreadableFile("the file is empty")
    known = [column.name for column in contract.columns]
    try:
        record = json.loads(first.split(b"\n", 1)[0])
    except ValueError:
        return known
    added = [name for name in record if name not in known] if isinstance(record, dict) else []
    return [*known, *added]


def _json_records(stream: IO[bytes], header: list[str]) -> Iterator[Records]:
    good: list[tuple[int, str, dict[str, Any]]] = []
    broken: list[tuple[int, str, str]] = []
    number = 0
    for number, line in enumerate(iter(lambda: stream.readline(framing.RECORD_BYTES), b""), 1):
        if len(line) >= framing.RECORD_BYTES:
            raise UnreadableFile("a record is longer than 16 MiB")
        raw = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
        record = _json_record(raw, header)
        if isinstance(record, str):
            broken.append((number, framing.printable(raw), record))
        else:
            good.append((number, raw, record))
        if number % _LINES == 0:
            yield _json_frame(good, broken, header)
            good, broken = [], []
    if number % _LINES or not number:
        yield _json_frame(good, broken, header)


def _json_record(raw: str, header: list[str]) -> dict[str, Any] | str:
    try:
        raw.encode("utf-8")
        record = json.loads(raw, parse_int=str, parse_float=str, parse_constant=str)
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {error}"
    if not isinstance(record, dict):
        return "is not a JSON object"
    unknown = sorted(set(record) - set(header))
    if unknown:
        return (
            f"has fields the file's first record has not: {framing.printable(', '.join(unknown))}"
        )
    for name, value in record.items():
        if isinstance(value, bool):
            record[name] = "true" if value else "false"
        elif isinstance(value, dict | list):
            return f"{name}: is not a single value"
        elif isinstance(value, str) and ("\0" in value or not _is_text(value)):
            return f"{name}: holds a NUL character or half a character"
    return record


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json_frame(
    good: list[tuple[int, str, dict[str, Any]]],
    broken: list[tuple[int, str, str]],
    header: list[str],
) -> Records:
    columns: dict[str, pl.Series] = {
        "line": pl.Series([number for number, _, _ in good], dtype=pl.Int64),
        "raw": pl.Series([raw for _, raw, _ in good], dtype=pl.String),
    }
    for i, name in enumerate(header):
        texts = [record.get(name) for _, _, record in good]
        columns[str(i)] = pl.Series(texts, dtype=pl.String)
    return Records(pl.DataFrame(columns), broken, verbatim=False, typed=False)


def _parquet_header(path: str) -> list[str]:
    try:
        return list(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableFile(f"it is no Parquet file: {error}") from error


def _parquet_records(path: str, header: list[str]) -> Iterator[Records]:
    line = 1
    try:
        for batch in pl.scan_parquet(path).collect_batches(chunk_size=_LINES):
            yield _parquet_frame(batch, line, header)
            line += batch.height
    except pl.exceptions.PolarsError as error:
        raise UnreadableFile(f"it is no whole Parquet file: {error}") from error


def _parquet_frame(batch: pl.DataFrame, line: int, header: list[str]) -> Records:
    texts = batch.select(
        _parquet_text(name, batch.schema[name]).alias(str(i)) for i, name in enumerate(header)
    )
    raw = texts.select(
        pl.struct(pl.col(str(i)).alias(name) for i, name in enumerate(header))
        .struct.json_encode()
        .alias("raw")
    )
    numbers = pl.int_range(line, line + batch.height, dtype=pl.Int64, eager=True).alias("line")
    frame = pl.concat([numbers.to_frame(), raw, texts], how="horizontal")
    return Records(frame, [], verbatim=False, typed=False)


def _parquet_text(name: str, kind: pl.DataType) -> pl.Expr:
    if not isinstance(kind, pl.Datetime):
        return pl.col(name).cast(pl.String, strict=False)
    at = pl.col(name)
    if kind.time_zone:
        at = at.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return at.dt.strftime("%Y-%m-%d %H:%M:%S%.f")
