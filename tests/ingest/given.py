"""What tests of ingest share: contracts of their own, and how they look at what was taken in."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import files
from tests.support.checkout import Checkout, Rows

_CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
name: {name}
version: {version}
status: active
servers:
  - {{server: landing, type: local, path: "{path}", format: {format}}}
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1}}
      - {{name: name, logicalType: string{name_extra}}}
      - {{name: amount, logicalType: number, logicalTypeOptions: {{minimum: 0}}}}
      - {{name: at, logicalType: timestamp, required: true{at_extra}}}
{more}
team: {{name: tests}}
customProperties:
  - {{property: maxQuarantinedShare, value: 0.5}}
{custom}
"""
AT = "2026-01-01 10:00:00"
HEADER = "id,name,amount,at"
SHOP = "      - {name: shop, logicalType: string%s}"


def contract(made: Checkout, name: str = "sales", *, file: str = "", **changes: str) -> Path:
    """Write a contract; by default its source's files land as `<name>/<date>.csv`."""
    values = {
        "name": name, "version": "1.0.0", "format": "csv",
        "path": name + "/{yyyy}-{mm}-{dd}.csv", "name_extra": "", "at_extra": "", "more": "",
        "custom": "",
    }  # fmt: skip
    path = made.project / f"contracts/{file or name}.yml"
    path.write_text(_CONTRACT.format(**values | changes))
    return path


def custom(**properties: object) -> str:
    """More of a contract's `customProperties`."""
    lines = (f"  - {{property: {k}, value: {json.dumps(v)}}}" for k, v in properties.items())
    return "\n".join(lines)


def sale(number: object, name: str = "a", amount: object = 1, at: str = AT) -> str:
    """A row of a source with such a contract."""
    return f"{number},{name},{amount},{at}"


def land(made: Checkout, path: str, *rows: str, header: str = HEADER) -> Path:
    """Let a file with these rows land."""
    return files.write(made.landing / path, [header, *rows])


def wide_sales(size: int, first: str) -> list[str]:
    """Rows of a file of about `size` bytes; it differs from others by the name in its first."""
    return [sale(0, first), *(sale(n, "x" * 1000) for n in range(1, size // 1030))]


def outcomes(made: Checkout) -> list[tuple[str, int, int]]:
    """What became of each delivery: outcome, rows loaded, rows quarantined."""
    return made.query(
        "select outcome, rows_loaded, rows_quarantined from ops.deliveries order by delivery_id"
    )


def reason(made: Checkout, uri: str) -> str:
    """Why the newest delivery of a file was not loaded; empty if it was."""
    ((found,),) = made.query(
        "select coalesce(reason, '') from ops.deliveries where uri = %s"
        " order by delivery_id desc limit 1", uri
    )  # fmt: skip
    return str(found)


def held(made: Checkout, source: str, delivery: int = 1) -> Rows:
    """Line, text and reasons of a delivery's quarantined rows."""
    return made.query(
        f"select line, raw_text, reasons from quarantine.{source} where delivery_id = %s"
        " order by line", delivery
    )  # fmt: skip


def rows(made: Checkout, columns: str, source: str = "sales") -> Rows:
    """What was loaded, in the order of deliveries and lines."""
    return made.query(f"select {columns} from raw.{source} order by _delivery_id, _line")


def count(made: Checkout, table: str = "raw.readings") -> int:
    return int(made.value(f"select count(*) from {table}"))
