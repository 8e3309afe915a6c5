"""The report in a real browser: draws everything, asks for nothing, complains of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.report.chromium import PATH, Page, chromium
from tests.benchmarks.report.test_content import SECTIONS
from zapdeploy.benchmarks.report import load_report_data, report_html

pytestmark = pytest.mark.skipif(PATH is None, reason="needs chromium: apt-get install chromium")
DRAWN = (
    "[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn && "
    "c.querySelectorAll('.trace, .hm').length === c.data.length)"
)
LOOKS = [(1280, False), (1280, True), (390, False), (390, True)]


@pytest.fixture(scope="module")
def page(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    report = folder / "report.html"
    report.write_text(report_html(load_report_data(results)), encoding="utf-8")
    with chromium(folder / "profile") as opened:
        opened.call("Page.navigate", url=report.as_uri())
        opened.wait_for("document.readyState === 'complete'")
        opened.wait_for("document.querySelectorAll('.chart').length > 0 && " + DRAWN)
        yield opened


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_every_section_is_drawn(page: Page, width: int, dark: bool) -> None:
    page.look(width=width, dark=dark)
    page.wait_for(
        f"innerWidth === {width} && [...document.querySelectorAll('.chart')].every(c => Math.abs("
        "c.querySelector('.main-svg').clientWidth - c.clientWidth) < 2)"
    )
    assert page.run(DRAWN)
    assert page.run("document.documentElement.scrollWidth") <= width
    sections, charts = page.boxes("section"), page.boxes(".chart")
    assert list(sections) == SECTIONS
    picture = page.picture().astype(int)
    paper = np.median(picture.reshape(-1, 3), axis=0)
    assert (paper.max() < 64) if dark else (paper.min() > 192)
    for section, box in sections.items():
        assert picture[box].std() > 10, section  # a blank picture has no spread
    for chart, box in charts.items():
        panel = np.median(picture[box].reshape(-1, 3), axis=0)
        ink = np.abs(picture[box] - panel).max(axis=2) > 60
        assert ink.mean() > 0.003, chart


def test_axes_have_titles_in_the_colours_of_the_page(page: Page) -> None:
    for dark in (False, True):
        page.look(width=1280, dark=dark)
        ink = page.run("getComputedStyle(document.body).color")
        fills = "[...document.querySelectorAll('.xtitle')].map(t => getComputedStyle(t).fill)"
        page.wait_for(f"{fills}.every(fill => fill === {ink!r})")
        titles = page.run("[...document.querySelectorAll('.xtitle')].map(t => t.textContent)")
        assert len(titles) == page.run("document.querySelectorAll('.chart').length")


def test_layers_are_chosen_with_the_keyboard(page: Page) -> None:
    said = "document.querySelector('.said').textContent"
    page.run("document.querySelector('input.layer').focus()")
    before = page.run(said)
    page.press("ArrowRight")
    page.wait_for(f"{said} !== {before!r}")
    assert page.run("document.querySelector('input.layer').value") == "1"
    assert "alert(1)" in page.run(said)  # a layer's name, as text
    page.run("document.querySelector('select.quantity').focus()")
    page.press("ArrowDown")
    page.wait_for(f"{said}.includes('vector busy')")


def test_every_chart_has_words_and_every_control_a_label(page: Page) -> None:
    silent = "[...document.querySelectorAll('.chart')].filter(c => !c.getAttribute('aria-label'))"
    assert page.run(f"{silent}.length") == 0
    assert page.run("[...document.querySelectorAll('select, input')].every(c => c.labels.length)")
    assert page.run("[...document.querySelectorAll('table')].every(t => t.caption)")


def test_no_complaint_and_no_request_leaves_the_page(page: Page) -> None:
    """Last, so that all of the above has been heard."""
    page.run("1")
    assert page.complaints == []
    leaving = {url for url in page.requests if not url.startswith(("file:///", "data:"))}
    assert leaving == set()
    assert sum(url.startswith("file:///") for url in page.requests) == 1
