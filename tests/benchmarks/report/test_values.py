"""What the values cost, in a row's details and in the report: trained networks alone have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.examples import PretendedMachine, cpu_request, trained_forecaster
from zapdeploy.benchmarks import run_benchmark
from zapdeploy.benchmarks.report import ReportData, load_report_data, report_html
from zapdeploy.benchmarks.report.blocks import Chart
from zapdeploy.benchmarks.report.sections.values import values
from zapdeploy.benchmarks.results.results import ResultFolder
from zapdeploy.benchmarks.results.rows import Scenario
from zapdeploy.errors import DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    folder = tmp_path_factory.mktemp("values")
    network = str(trained_forecaster(folder / "linear"))
    request = cpu_request(network, targets=("northpole-sim",), precisions=("int8",))
    run_benchmark(request, folder / "results", tools=PretendedMachine().tools())
    return load_report_data(folder / "results")


def test_one_frame_at_a_time_is_counted(data: ReportData) -> None:
    by_scenario = {one.row.scenario: one.details.values for one in data.simulated}
    assert by_scenario[Scenario.OFFLINE] is None
    found = by_scenario[Scenario.SINGLE_STREAM]
    assert found is not None
    assert (found.frames, found.gates_zeros) == (2, False)
    for gating, energies in found.energy.items():
        cases = ("zeros", "actual", "random", "alternating")
        zeros, actual, random, worst = (energies[case].value for case in cases)
        assert zeros < actual < worst
        events = found.events_j[gating]  # what the frame has beside them is the same for all
        assert random - actual == pytest.approx(events["random"] - events["actual"])
    products = [layer for layer in found.layers if layer.macs]
    assert products
    assert all(layer.zero_inputs_share <= layer.zero_products_share for layer in products)


def test_the_report_draws_it(data: ReportData) -> None:
    section = values(data)
    assert section is not None
    chart, layers = section.blocks
    assert isinstance(chart, Chart)
    assert [row[0].text for row in chart.table.rows][:2] == ["all bits zero", "these inputs"]
    assert chart.table.rows[1][1].kind == "modelled"
    (one,) = (one for one in data.simulated if one.details.values is not None)
    assert len(layers.rows) == len(one.details.layers)
    assert "What the values cost" in report_html(data)


def test_networks_whose_bits_say_nothing_have_none(results: Path) -> None:
    """Those of the other folder are files: of their inputs nothing is known."""
    assert values(load_report_data(results)) is None


def test_damaged_values_are_refused(data: ReportData) -> None:
    folder = ResultFolder(data.result.folder)
    (row,) = (o.row for o in data.simulated if o.details.values is not None)
    (path,) = Path(data.result.folder).rglob(f"*{row.digest}*.json")
    whole = path.read_text()
    try:
        path.write_text(whole.replace('"zero_inputs_share"', '"zero"', 1))
        with pytest.raises(DataError, match="zero_inputs_share"):
            folder.details(row.digest)
    finally:
        path.write_text(whole)
