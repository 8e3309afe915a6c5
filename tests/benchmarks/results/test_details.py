"""Details kept beside simulated rows: whole, before the row, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.examples import PretendedMachine, cpu_request, write_network
from zapdeploy.benchmarks import BenchmarkResult, benchmark_outcomes, run_benchmark
from zapdeploy.benchmarks.results.details import Details
from zapdeploy.benchmarks.results.results import ResultFolder
from zapdeploy.errors import DataError


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkResult:
    folder = tmp_path_factory.mktemp("details")
    network = str(write_network(folder / "net.onnx"))
    request = cpu_request(network, targets=("northpole-sim",), precisions=("int8",))
    return run_benchmark(request, folder / "out", tools=PretendedMachine().tools())


def _details(result: BenchmarkResult, index: int = 0) -> Details:
    found = ResultFolder(result.folder).details(result.rows[index].digest)
    assert found is not None
    return found


def test_every_simulated_row_has_details_that_agree_with_it(result: BenchmarkResult) -> None:
    for index, row in enumerate(result.rows):
        details = _details(result, index)
        assert row.configuration is not None
        assert row.configuration["timing"] == "scheduled"
        assert sum(layer.cycles for layer in details.layers) <= row.configuration["cycles"]
        assert [layer.name for layer in details.layers] == [load.layer for load in details.loads]
        assert [load.cycles for load in details.loads] == [one.cycles for one in details.layers]


def test_energy_parts_add_up_to_the_rows_energy(result: BenchmarkResult) -> None:
    """Offline: frames back to back, as the parts are counted."""
    row = result.rows[-1]
    assert row.scenario.value == "Offline"
    assert row.energy_per_frame is not None
    assert _details(result, -1).energy_j == pytest.approx(row.energy_per_frame.value)


def test_no_core_is_busier_than_there_is_time(result: BenchmarkResult) -> None:
    for load in _details(result).loads:
        for busy in load.busy.values():
            assert busy.shape == (16, 16)
            assert 0 <= busy.min() <= busy.max() <= 1


def test_roofs_are_those_of_the_published_chip(result: BenchmarkResult) -> None:
    """The target file restates 13 TB/s and 200 TOPS at 8 bit as published."""
    details = _details(result)
    assert details.bandwidth_bytes_s == pytest.approx(13.1e12, rel=0.01)
    assert details.peak_ops_s["8"] == pytest.approx(2 * 1024 * 256 * 400e6)
    for roof in details.roofline:
        assert 0 < roof.attained_ops_s <= roof.roof_ops_s


def test_prices_name_the_chips_numbers(result: BenchmarkResult) -> None:
    details = _details(result)
    assert details.price_keys["macs_8bit"] == "energy.mac_8bit"
    assert details.price_keys["static"] == "energy.static_power"
    assert set(details.price_keys) == set(details.energy_parts)
    assert {details.price_kind(part) for part in details.energy_parts} == {"assumed"}
    assert np.isclose(next(f.value for f in details.figures if f.key == "array.transistors"), 22e9)


@pytest.mark.parametrize("damage", ["cut", "schema", "shape", "missing"])
def test_damaged_details_are_one_error(
    result: BenchmarkResult, damage: str, tmp_path: Path
) -> None:
    digest = result.rows[0].digest
    path = result.folder / "details" / f"{digest}.json"
    document = json.loads(path.read_text())
    if damage == "schema":
        document["schema"] = 99
    elif damage == "shape":
        document["result"]["array"][0]["layers"][0]["busy_cycles"]["matrix"] = [[1, 2]]
    elif damage == "missing":
        del document["chip"]["sources"]
    text = json.dumps(document)
    copy = tmp_path / "details" / path.name
    copy.parent.mkdir()
    copy.write_text(text[:-20] if damage == "cut" else text)
    with pytest.raises(DataError, match=r"details must be whole .*; run the benchmark again"):
        ResultFolder(tmp_path).details(digest)


def test_details_are_there_before_their_row(tmp_path: Path) -> None:
    """Whoever is killed between the two finds the row missing, never the details."""
    network = str(write_network(tmp_path / "net.onnx"))
    request = cpu_request(network, targets=("northpole-sim",), precisions=("int8",))
    folder = tmp_path / "out"
    first = next(benchmark_outcomes(request, folder, tools=PretendedMachine().tools()))
    kept = list((folder / "details").iterdir())
    assert len(kept) == 1
    (folder / "rows.jsonl").unlink()
    (folder / "details" / ".half.json.abc").write_text("half")
    again = run_benchmark(request, folder, resume=True, tools=PretendedMachine().tools())
    assert again.rows[0] == first
    names = {path.stem for path in (folder / "details").iterdir()}
    assert names == {row.digest for row in again.rows}
