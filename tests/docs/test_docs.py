"""Pages that are made from the code are current, links lead somewhere, and examples run."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest

from zapdeploy.cli.app import COMMANDS
from zapdeploy.compile.frontend import supported_operators
from zapdeploy.compile.frontend.operator_page import operator_page
from zapdeploy.compile.ops.base import registered
from zapdeploy.simplify import expanded_operators

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


MADE = {"operators.md", "command-line.md"}


def test_operator_page_has_every_operator() -> None:
    """It is made from the registries when the site is built, and kept nowhere."""
    page = operator_page()
    for op in registered():
        assert f"| {op.name} | {op.summary} |" in page
    for domain, name in {*supported_operators(), *expanded_operators()}:
        wanted = f"| {domain} | {name} |" if domain else f"| {name} |"
        assert wanted in page or not onnx.defs.has(name), (domain, name)
    assert "| LeakyRelu | 1, 16 | alpha | as it is |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [t for t in targets if Path(t).name not in MADE and not (page.parent / t).exists()] == []


def test_readme_and_demo_use_verbs_that_exist() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs/demo.sh").read_text()
    used = set(re.findall(r"^(?:run )?zapdeploy (\w+)", text, re.MULTILINE))
    assert used
    assert used <= set(COMMANDS)


def test_readme_has_no_placeholder() -> None:
    assert not re.search(r"\b[A-Z]+_TABLE\b", (ROOT / "README.md").read_text())
