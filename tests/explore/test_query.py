"""SQL over tables, and the page about them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import zapdeploy as zd
from tests.benchmarks.report.chromium import PATH, chromium
from tests.cli.conftest import Call
from tests.cli.conftest import zapdeploy as zapdeploy  # a fixture
from tests.explore.test_explore import spec_of
from zapdeploy.explore.exploring import explore
from zapdeploy.explore.page import write_page
from zapdeploy.explore.query import query

pytest.importorskip("duckdb")
pytest.importorskip("plotly")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explored")
    explore(spec_of(made), made, workers=0)
    return made


def test_queries(folder: Path) -> None:
    found = query(folder, 'select "core.memory", count(*) as n from points group by all order by 1')
    assert found.records() == [{"core.memory": "4 KiB", "n": 8}, {"core.memory": "768 KiB", "n": 8}]
    assert query(folder, "select count(*) from small").rows == ((16,),)


@pytest.mark.parametrize(
    "sql",
    [
        "selec 1",
        "select nothing from points",
        "select * from read_csv('/etc/hostname')",
        "copy points to 'elsewhere.csv'",
        "attach 'elsewhere.db'",
        "install httpfs",
    ],
)
def test_queries_that_are_refused(folder: Path, sql: str) -> None:
    with pytest.raises(zd.UsageError, match=r"^query must be SQL over points: .*Error"):
        query(folder, sql)
    assert not Path("elsewhere.csv").exists()


def test_on_the_command_line(zapdeploy: Call, folder: Path, tmp_path: Path) -> None:
    sql = "select batch, throughput_fps from points where batch = 2 limit 1"
    rows = zapdeploy("explore", "query", folder, sql, "--json").json["rows"]
    assert rows[0]["batch"] == 2
    zapdeploy("explore", "query", folder, sql, "--csv", tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text().splitlines()[0] == "batch,throughput_fps"
    called = zapdeploy("explore", "query", tmp_path, sql)
    assert (called.status, called.err.count("\n")) == (2, 1)
    assert "folder must be one that zapdeploy explore wrote" in called.err


@pytest.mark.skipif(PATH is None, reason="needs chromium: apt-get install chromium")
def test_the_page_in_a_browser(folder: Path, tmp_path: Path) -> None:
    page = write_page(folder, tmp_path / "page.html")
    with chromium(tmp_path / "profile") as tab:
        for width, dark in ((1280, False), (390, True)):
            tab.look(width=width, dark=dark)
            tab.call("Page.navigate", url=page.as_uri())
            tab.wait_for("document.readyState === 'complete'")
            tab.wait_for("[...document.querySelectorAll('.chart')].every(c => c.dataset.drawn)")
            assert tab.run("document.documentElement.scrollWidth") <= width
            picture = tab.picture().astype(int)
            paper = np.median(picture.reshape(-1, 3), axis=0)
            assert (paper.max() < 64) if dark else (paper.min() > 192)
            for chart, box in tab.boxes(".chart").items():
                ink = np.abs(picture[box] - np.median(picture[box].reshape(-1, 3), axis=0))
                assert (ink.max(axis=2) > 60).mean() > 0.003, chart
        assert not [said for said in tab.complaints if "WebGL" not in said]
        assert not [url for url in tab.requests if not url.startswith(("file:", "data:"))]


def test_the_page(zapdeploy: Call, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert zapdeploy("explore", "page", folder, "-o", page, "--maximize", "throughput_fps",
                     "--minimize", "energy_per_frame_j").status == 0  # fmt: skip
    text = page.read_text()
    assert "networks.model.width" in text
    figures = json.loads(text.split('id="figures">')[1].split("</script>")[0])["charts"]
    assert len(figures) == 6  # a front, all points, shares and factors of both
    assert [len(d["values"]) for d in figures["parallel"]["data"][0]["dimensions"]]
    assert "default-src 'none'" in text  # nothing from outside
    wrong = zapdeploy("explore", "page", folder, "--minimize", "speed")
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert "objectives must be of" in wrong.err
