from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from orchestration.errors import UsageError
from orchestration.ingesting import contract_files
from orchestration.settings import PROJECT

ALL = sorted((PROJECT / "contracts").glob("*.yml"))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_contract_is_valid_in_the_standard(path: Path) -> None:
    schema = json.loads(OpenDataContractStandard.json_schema())  # type: ignore[no-untyped-call]
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_contract_has_an_owner(path: Path) -> None:
    assert contract_files.load(path).owner


@pytest.mark.parametrize(
    ("path", "day"),
    [
        ("flights/2013/01/flights_2013-01-31.csv.gz", date(2013, 1, 31)),
        ("flights/2013/02/flights_2013-01-31.csv.gz", None),
        ("flights/2013/02/flights_2013-02-30.csv.gz", None),
        ("flights/2013/01/flights_2013-01-31.csv", None),
        ("../flights/2013/01/flights_2013-01-31.csv.gz", None),
        ("flights/2013/01/flights_2013-01-31.csv.gz\n", None),
    ],
)
def test_a_path_gives_the_slice_date_or_none(path: str, day: date | None) -> None:
    found = contract_files.load(PROJECT / "contracts/flights.yml").slice(path)
    assert (found and found.date) == day


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version: 1.0.0", "version: 1.0-x"), "version is not like 1.0.0"),
        (("id: flights", "id: other"), "its id is 'other'"),
        (("logicalType: timestamp", "logicalType: instant"), "unknown logicalType 'instant'"),
        (("{dd}", "{day}"), r"unknown part \{day\}"),
        (("format: csv", "format: xls"), "known: csv"),
        (("- name: month", "- name: year"), "a column is listed twice"),
        (("[year, month, day]", "[year, month, dy]"), "names an unknown column"),
        (("maxLength", "maxWidth"), r"column tailnum: unknown \['maxWidth'\]"),
        (("kind: DataContract", "kind: [DataContract"), "while parsing"),
    ],
)
def test_a_wrong_contract_is_named_with_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "flights.yml"
    path.write_text((PROJECT / "contracts/flights.yml").read_text().replace(*change))
    with pytest.raises(UsageError, match=message) as error:
        contract_files.load(path)
    assert str(path) in str(error.value)
