"""Pages that are made from the code are current, links lead somewhere, and examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zapdeploy.cli.app import COMMANDS
from zapdeploy.compile.frontend.operator_page import operator_page

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_operator_page_is_current() -> None:
    assert (ROOT / "docs/operators.md").read_text() == operator_page()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_readme_and_demo_use_verbs_that_exist() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs/demo.sh").read_text()
    used = set(re.findall(r"^(?:run )?zapdeploy (\w+)", text, re.MULTILINE))
    assert used
    assert used <= set(COMMANDS)


def test_readme_has_no_placeholder() -> None:
    assert not re.search(r"\b[A-Z]+_TABLE\b", (ROOT / "README.md").read_text())
