from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from orchestration.ingesting import contract_checks, contract_files
from orchestration.ingesting.contract_checks import check, differences, required_level
from orchestration.settings import PROJECT

GATE = "  - name: gate\n        logicalType: string\n    "
FLIGHTS = (PROJECT / "contracts/flights.yml").read_text()


def project(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "contracts").mkdir()
    for name, text in files.items():
        (tmp_path / f"contracts/{name.replace('__', '-').replace('_dot_', '.')}.yml").write_text(
            text
        )
    return tmp_path


def test_our_own_contracts_have_no_flaw() -> None:
    assert check(PROJECT) == []


def test_our_own_contracts_break_nothing_since_the_commit_before() -> None:
    before = subprocess.run(
        ["git", "rev-parse", "--verify", "HEAD~1"], cwd=PROJECT, capture_output=True
    )
    # A checkout of a single commit has nothing to be compared with.
    assert check(PROJECT, "HEAD~1" if before.returncode == 0 else "HEAD") == []


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("logicalType: timestamp", "logicalType: moment", "name: time_hour", "moment"),
        ("status: active", "state: active", None, "state"),
        ("kind: DataContract", "kind: [", None, "expected"),
        ("- name: month", "- name: Month", "name: Month", "not lower case"),
        (
            "value: NA",
            "value: NA\n  - property: nulText\n    value: x",
            "nulText",
            "unknown custom",
        ),
        ("pattern: '^[A-Z]{3}$'", "pattern: '^[A-Z'", "name: dest", ""),
    ],
)
def test_a_flaw_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: str | None, text: str
) -> None:
    changed = FLIGHTS.replace(old, new, 1)
    problems = check(project(tmp_path, flights=changed))
    assert problems
    assert any(text in problem.text for problem in problems), problems
    assert all(problem.file == "contracts/flights.yml" for problem in problems)
    if line is not None:
        lines = changed.splitlines()
        near = [lines[p.line - 2 : p.line + 1] for p in problems]
        assert any(line in each for pair in near for each in pair), problems


@pytest.mark.parametrize(
    ("old", "new", "level", "text"),
    [
        ("name: air_time", "name: flown", "major", "column air_time is gone"),
        ("value: LGA}", "value: LGA}, {value: SWF}", "major", "origin may now have values"),
        ("required: true\n        logicalTypeOptions: {minimum: 1, maximum: 12}",
         "logicalTypeOptions: {minimum: 1, maximum: 12}", "major", "month may now be missing"),
        ("maximum: 4320", "maximum: 9999", "minor", "wider bounds"),
        ("  - name: distance", GATE + "  - name: distance", "minor", "column gate is new"),
        ("Never", "Never", "patch", ""),
    ],
)  # fmt: skip
def test_a_difference_calls_for_its_part_of_the_version(
    tmp_path: Path, old: str, new: str, level: str, text: str
) -> None:
    where = project(tmp_path, flights=FLIGHTS.replace(old, new))
    before, after = (
        contract_files.load(PROJECT / "contracts/flights.yml"),
        contract_files.load(where / "contracts/flights.yml"),
    )
    assert required_level(before, after) == level
    assert text in " ".join(d.text for d in differences(before, after))


def test_a_breaking_version_beside_the_old_needs_a_major_number(tmp_path: Path) -> None:
    broken = FLIGHTS.replace("name: air_time", "name: flown").replace("1.0.0", "1.1.0")
    where = project(tmp_path, flights=broken, flights__1_dot_0_dot_0=FLIGHTS)
    (problem,) = check(where)
    assert "needs a new major number: column air_time is gone" in problem.text
    (where / "contracts/flights.yml").write_text(broken.replace("1.1.0", "2.0.0"))
    assert check(where) == []


def test_a_change_since_a_revision_needs_a_new_version(tmp_path: Path) -> None:
    where = project(tmp_path, flights=FLIGHTS)

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=where, check=True, capture_output=True)

    git("init")
    git("add", "-A")
    git("commit", "-m", "first")
    assert check(where, "HEAD") == []
    (where / "contracts/flights.yml").write_text(FLIGHTS.replace("maximum: 4320", "maximum: 9999"))
    (problem,) = check(where, "HEAD")
    assert "needs a new minor number" in problem.text


def test_a_reference_to_nothing_is_named(tmp_path: Path) -> None:
    changed = FLIGHTS.replace(
        "- name: tailnum\n", "- name: tailnum\n        relationships: [{to: planes.tail}]\n"
    )
    planes = (PROJECT / "contracts/planes.yml").read_text()
    (problem,) = check(project(tmp_path, flights=changed, planes=planes))
    assert "there is no planes.tail to refer to" in problem.text
    assert contract_checks.Problem("a", 1, "b").__str__() == "a:1: b"
