"""SQL over tables, and the page about them."""

from __future__ import annotations

from pathlib import Path

import pytest

import zapdeploy as zd
from tests.cli.conftest import Call
from tests.cli.conftest import zapdeploy as zapdeploy  # a fixture
from tests.explore.test_explore import spec_of
from zapdeploy.explore.exploring import explore
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


def test_the_page(zapdeploy: Call, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert zapdeploy("explore", "page", folder, "-o", page, "--maximize", "throughput_fps",
                     "--minimize", "energy_per_frame_j").status == 0  # fmt: skip
    text = page.read_text()
    assert "networks.model.width" in text
    assert text.count("Plotly.newPlot") == 6  # a front, all points, shares and factors of both
    assert "src=" not in text.replace('src="data:', "")[:5000]  # nothing from outside
    wrong = zapdeploy("explore", "page", folder, "--minimize", "speed")
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert "objectives must be of" in wrong.err
