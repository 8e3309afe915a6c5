"""A small folder of results of every kind, with names that must not become markup."""

from __future__ import annotations

from pathlib import Path

import onnx

from tests.benchmarks.examples import PretendedMachine, cpu_request, row, write_network
from zapdeploy.benchmarks import Row, run_benchmark
from zapdeploy.benchmarks.results.results import ResultFolder
from zapdeploy.benchmarks.results.rows import MAE, Horizon
from zapdeploy.quantities import Estimate, Provenance

EVIL_LAYER = "first</script><script>alert(1)</script>"
EVIL_DEVICE = "<img src=https://example.com/x.png onerror=alert(1)>"


def write_results(folder: Path) -> Path:
    """northpole-sim and a pretended CPU, an event-driven chip's three rows, and a published one."""
    network = write_network(folder / "net.onnx")
    proto = onnx.load(network)
    proto.graph.node[0].name = EVIL_LAYER
    network.write_bytes(proto.SerializeToString())
    request = cpu_request(str(network), targets=("northpole-sim", "cpu"), frame_rate_hz=10.0)
    output = folder / "results"
    run_benchmark(request, output, tools=PretendedMachine().tools())
    results = ResultFolder(output)
    for threshold in (0, 2, 4):
        results.add(_event_row(str(network), threshold))
    published = row(
        EVIL_DEVICE,
        key="evil",
        model=str(network),
        boundary="card",
        kind=Provenance.PUBLISHED,
        latency=None,
        energy_is_bound=True,
    )
    results.add(published)
    return output


def _event_row(model: str, threshold: int) -> Row:
    operations = 1000 / (1 + threshold)
    return row(
        f"loihi2-sim, threshold {threshold}",
        key=f"events {threshold}",
        model=model,
        kind=Provenance.SIMULATED,
        boundary="core array",
        energy_per_frame=Estimate(1e-9 * operations, 0.0, 1e-9 * operations, Provenance.MODELLED),
        energy_is_bound=True,
        accuracy=0.02 + 0.001 * threshold,
        accuracy_metric=MAE,
        configuration={
            "threshold": threshold,
            "synaptic_ops": operations,
            "saved_share": 1 - 1 / (1 + threshold),
            "messages": operations / 10,
            "step_s": 1e-4,
        },
        horizon=Horizon((0.02 + 0.001 * threshold,) * 32, (0.03,) * 32, "a stream of 9 windows"),
    )
