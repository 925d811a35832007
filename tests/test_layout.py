"""The rules of the layout, as tests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from orchestration.settings import PROJECT

MODELS = sorted((PROJECT / "models").rglob("*.sql"))
MARTS = [path for path in MODELS if "marts" in path.parts]
GROUPS = {
    group["name"]
    for group in yaml.safe_load((PROJECT / "models/_groups.yml").read_text())["groups"]
    if group["owner"]["email"]
}
TRACKED = [
    PROJECT / name
    for name in subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, text=True, capture_output=True, check=True
    ).stdout.splitlines()
]


def properties(sql: Path) -> dict[str, object]:
    (model,) = yaml.safe_load(sql.with_suffix(".yml").read_text())["models"]
    assert isinstance(model, dict)
    return model


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_has_its_yml_and_says_what_a_row_is(path: Path) -> None:
    model = properties(path)
    assert model["name"] == path.stem
    assert str(model["description"]).startswith("One row per ")
    assert len(path.read_text().splitlines()) < 110


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_has_a_budget_and_describes_its_columns(path: Path) -> None:
    model = properties(path)
    config = model["config"]
    assert isinstance(config, dict)
    budget = config["meta"]["budget"]
    assert budget["seconds"] > 0
    assert ("rows" in budget) == (path in MARTS)
    columns = model["columns"]
    assert isinstance(columns, list)
    assert all(column["description"] for column in columns)


def test_every_source_says_how_fresh_it_is() -> None:
    for contract in (PROJECT / "contracts").glob("*.yml"):
        name = contract.stem
        path = PROJECT / f"models/staging/{name}/_{name}__sources.yml"
        (source,) = yaml.safe_load(path.read_text())["sources"]
        assert source["config"]["freshness"]["warn_after"]["count"]
        assert f"'{name}'" in source["config"]["loaded_at_query"]


def test_every_mart_that_people_look_at_is_in_an_exposure() -> None:
    texts = [path.read_text() for path in (PROJECT / "models/exposures").glob("*.yml")]
    seen = {path.stem for path in MARTS if any(f"ref('{path.stem}')" in text for text in texts)}
    assert {path.stem for path in MARTS if path.stem.startswith("agg_")} <= seen


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_prefix_matches_folder_and_only_staging_reads_sources(path: Path) -> None:
    folder = path.relative_to(PROJECT / "models").parts[0]
    prefixes = {"staging": ("stg_",), "intermediate": ("int_",), "marts": ("fct_", "dim_", "agg_")}
    assert path.stem.startswith(prefixes[folder])
    assert ("source(" in path.read_text()) == (folder == "staging")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_models_hold_no_engine_specific_sql(path: Path) -> None:
    found = re.findall(
        r"::\w+|\bat time zone\b|\binterval\b|\bilike\b|\bfilter\s*\(|\bdistinct on\b"
        r"|\blateral\b|\boffset 0\b|\bisodow\b|\bgenerate_series\b|\bmaterialized\s*\("
        r"|\bmake_(?:date|timestamp|interval)\b|\bto_(?:char|timestamp|date)\(",
        path.read_text(),
        flags=re.IGNORECASE,
    )
    assert found == []


@pytest.mark.parametrize("path", MARTS, ids=lambda path: path.stem)
def test_every_mart_has_suite_owner_key_and_described_columns(path: Path) -> None:
    suite = json.loads((PROJECT / f"expectations/{path.stem}.json").read_text())
    assert suite["expectations"]
    assert all(e["severity"] in ("critical", "warning") for e in suite["expectations"])
    assert all(e["meta"]["notes"] for e in suite["expectations"])
    model = properties(path)
    config = model["config"]
    assert isinstance(config, dict)
    assert config["group"] in GROUPS
    assert "primary_key" in path.with_suffix(".yml").read_text()
    columns = model["columns"]
    assert isinstance(columns, list)
    assert all(column["description"] and column["data_type"] for column in columns)


def test_every_suite_has_its_mart() -> None:
    suites = {path.stem for path in (PROJECT / "expectations").glob("*.json")}
    assert suites == {path.stem for path in MARTS}


def test_every_macro_is_alone_in_its_file_and_documented() -> None:
    documented = {
        m["name"] for m in yaml.safe_load((PROJECT / "macros/_macros.yml").read_text())["macros"]
    }
    for path in (PROJECT / "macros").rglob("*.sql"):
        names = re.findall(r"{% macro (\w+)", path.read_text())
        assert names[0] == path.stem
        assert all(name.endswith(f"__{path.stem}") for name in names[1:])
        assert path.stem in documented


def test_files_and_functions_stay_small() -> None:
    for path in (PROJECT / "orchestration").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path


def test_no_tracked_file_names_an_index_or_a_path_of_a_machine() -> None:
    pattern = re.compile(r"pypi\.org|pythonhosted|--index-url|/root/|/home/\w")
    for path in TRACKED:
        if path.suffix in (".png",) or path == Path(__file__) or not path.exists():
            continue
        assert not pattern.search(path.read_text(errors="replace")), path


def test_every_broken_line_that_the_tests_must_notice_can_be_broken() -> None:
    patches = sorted((PROJECT / "tests/mutations").glob("*.patch"))
    assert len(patches) > 10
    for patch in patches:
        command = ["git", "apply", "--check", str(patch)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
