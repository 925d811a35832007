from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.ingesting import framing
from orchestration.ingesting.framing import Layout, UnreadableFile, read_header, read_records

# What a provider writes: any text, quoted where it must be.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@given(rows=st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=40))
@pytest.mark.parametrize("chunk", [16, 2**20])
def test_what_a_csv_writer_wrote_is_read_back_with_line_numbers(
    rows: list[tuple[str, str, str]], chunk: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    lines = []
    writer.writerow(("a", "b", "c"))
    for cells in rows:
        lines.append(text.getvalue().count("\n") + 1)
        writer.writerow(cells)
    stream = io.BytesIO(text.getvalue().encode())
    whole, framing.CHUNK_BYTES = framing.CHUNK_BYTES, chunk
    try:
        assert read_header(stream, ",") == ["a", "b", "c"]
        found = list(read_records(stream, Layout(",", "", ("a", "b", "c"))))
    finally:
        framing.CHUNK_BYTES = whole
    assert [r for records in found for r in records.broken] == []
    frames = [records.frame for records in found]
    assert [n for frame in frames for n in frame["line"]] == lines
    assert [r for frame in frames for r in frame.select("0", "1", "2").iter_rows()] == rows


@given(body=st.binary(max_size=200))
def test_every_line_of_any_bytes_is_well_formed_or_broken(body: bytes) -> None:
    try:
        found = list(read_records(io.BytesIO(body), Layout(",", "", ("a", "b"))))
    except UnreadableFile:
        assert b'"' in body
        return
    lines = sorted(
        [n for r in found for n in r.frame["line"]] + [n for r in found for n, _, _ in r.broken]
    )
    assert len(lines) == len(set(lines))
    if b'"' not in body:
        assert lines == list(range(2, 2 + len(body.removesuffix(b"\n").split(b"\n")) * bool(body)))


def test_a_record_of_no_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(UnreadableFile, match="longer than 16 MiB"):
        list(read_records(io.BytesIO(b'"' + b"x" * 40 * 2**20), Layout(",", "", ("a",))))
