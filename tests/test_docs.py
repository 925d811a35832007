"""What the documents say is there, is there."""

from __future__ import annotations

import re
import subprocess

from orchestration.settings import PROJECT
from tests.test_layout import TRACKED

README = (PROJECT / "README.md").read_text()
PAGES = [path for path in TRACKED if path.suffix == ".md"]


def test_every_make_target_is_in_the_readme_and_in_help() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(
        ["make", "help"], cwd=PROJECT, text=True, capture_output=True, check=True
    ).stdout
    for target in targets:
        assert f"make {target}" in README, target
        assert re.search(rf"\b{target}\b", shown)


def test_every_verb_has_a_target() -> None:
    from orchestration.cli import cli

    makefile = (PROJECT / "Makefile").read_text()
    for verb in cli.commands:
        assert re.search(rf"^{verb}:.*## ", makefile, re.MULTILINE), verb


def test_every_runbook_and_page_that_is_named_exists() -> None:
    for path in TRACKED:
        if path.suffix not in (".py", ".md", ".yml", ".sql") or "tests" in path.parts:
            continue
        for name in re.findall(r"\b(?:runbooks|docs)/[\w/-]+\.md", path.read_text()):
            assert (PROJECT / name).exists(), f"{path} names {name}"


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page} links to {target}"


def test_every_variable_of_the_example_is_read() -> None:
    read = (PROJECT / "orchestration/settings.py").read_text()
    for name in re.findall(r"^# ([A-Z_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE):
        assert f'"{name}"' in read


def test_every_row_about_dbt_has_a_test() -> None:
    page = (PROJECT / "docs/dbt-features.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (PROJECT / file).read_text(), row
