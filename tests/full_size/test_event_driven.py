"""Forecasters of 500 neurons and a residual network over 200 frames, in Lava itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.sim.sigma_delta.streams import drifting, expected, outputs, residual_net, stream_of
from tests.sim.sigma_delta.test_lava import needs_lava
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.sigma_delta import convert, run_in_lava, run_reference

pytestmark = [pytest.mark.slow, needs_lava]
FRAMES, NEURONS = 200, 500


def forecaster(name: str, folder: Path) -> Graph:
    export_model(name, folder / "float.onnx", neurons=NEURONS, batch=1)
    samples = sample_inputs(name, 8, neurons=NEURONS)
    quantize_onnx(
        folder / "float.onnx", folder / "int8.onnx", weights=8, activations=8, calibration=samples
    )
    return import_model(folder / "int8.onnx", batch=1).graph


@pytest.mark.parametrize("name", ["linear-c4", "time-mix-c4", "residual"])
def test_lava_computes_the_integer_graph(name: str, tmp_path: Path) -> None:
    graph = residual_net() if name == "residual" else forecaster(name, tmp_path)
    codes = drifting(graph, FRAMES)
    network = convert(graph)
    stream = stream_of(network, graph, codes)
    spikes = run_in_lava(network, stream).spikes
    wanted = expected(graph, codes)
    assert np.array_equal(outputs(network, spikes, FRAMES), wanted)
    for population, sent in run_reference(network, stream).items():
        assert np.array_equal(spikes[population], sent), population
