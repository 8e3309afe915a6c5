"""Every command and every Python block of README, tutorials and how-to pages runs, in its order."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from zapdeploy.cli.app import run

ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/how-to/*.md"))
# ResNet-50 in full size, training, a report.
LONG = [ROOT / "README.md", *sorted(ROOT.glob("docs/tutorials/*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of the blocks that are to run; `text` blocks only show something."""
    return re.findall(r"^```(bash|python)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def follow(page: Path, folder: Path) -> int:
    """Do in a folder what the page says; the number of steps."""
    names: dict[str, object] = {"__name__": "page"}
    steps, before = 0, Path.cwd()
    os.chdir(folder)
    try:
        for language, text in blocks(page):
            if language == "python":
                exec(compile(text, str(page), "exec"), names)
                steps += 1
                continue
            for line in text.replace("\\\n", " ").splitlines():
                command = shlex.split(line, comments=True)
                assert not command or command[0] == "zapdeploy", line
                assert not command or run(command[1:]) == 0, line
                steps += 1
    finally:
        os.chdir(before)
    return steps


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page: Path, tmp_path: Path) -> None:
    steps = follow(page, tmp_path)
    assert steps > 0 or not blocks(page)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("page", LONG, ids=lambda page: page.stem)
def test_a_long_page_runs(page: Path, tmp_path: Path) -> None:
    """The tutorial for neuroscientists ends in a report."""
    assert follow(page, tmp_path) > 3
    if page.stem == "neuroscientist":
        assert (tmp_path / "report.html").stat().st_size > 10_000


def test_every_page_of_the_site_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    here = {p.relative_to(ROOT / "docs").as_posix() for p in ROOT.glob("docs/**/*.md")}
    assert {p for p in here if not p.startswith("decisions/")} <= named
