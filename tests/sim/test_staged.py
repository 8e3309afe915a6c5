"""A pipeline computes what the whole graph computes, in every bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.networks import ORIGIN, NetworkBuilder, northpole, small_cnn, small_cnn_program
from tests.sim.networks import EIGHT_BITS, FOUR_BITS, residual_network
from tests.strategies import Network, quantized_networks
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph
from zapdeploy.compile.layers import group_layers
from zapdeploy.compile.multichip.pipeline import Link, Pipeline, pipeline_of
from zapdeploy.compile.multichip.pipeline_partitioner import build_pipeline
from zapdeploy.compile.multichip.stages import stage_graph
from zapdeploy.compile.program.program import Options
from zapdeploy.errors import DataError
from zapdeploy.hardware_targets import target_text
from zapdeploy.sim.check import reference_inputs
from zapdeploy.sim.frames import run_frames
from zapdeploy.sim.functional import run
from zapdeploy.sim.staged import run_pipeline

TEXT = target_text("northpole-sim")[1]


def over(graph: Graph, chips: int, micro_batch: int = 2) -> Pipeline:
    options = Options(2 * micro_batch, chips, "throughput")
    return build_pipeline(graph, ORIGIN, northpole(), TEXT, options, micro_batch, chips)


@pytest.mark.parametrize("types", [EIGHT_BITS, FOUR_BITS])
@pytest.mark.parametrize("chips", [1, 2, 5])
def test_equals_the_whole_graph(types, chips: int) -> None:  # type: ignore[no-untyped-def]
    """Quantizer and dequantizer on the host, a residual over the border, two micro-batches."""
    graph = residual_network(*types, batch=2)
    batches = [reference_inputs(graph, seed) for seed in (0, 1)]
    found = run_pipeline(over(graph, chips), batches)
    for batch, outputs in zip(batches, found, strict=True):
        expected = run(graph, batch)
        assert outputs.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(outputs[name], array)
            assert outputs[name].dtype == array.dtype


def cut_after(graph: Graph, borders: list[int]) -> Pipeline:
    """Stages with the right graphs and nothing else; running needs no more."""
    layers = group_layers(graph)
    program = small_cnn_program()
    ends = [*sorted(borders), len(layers)]
    stages = tuple(
        replace(program, graph=stage_graph(graph, layers, first, end))
        for first, end in pairwise((0, *ends))
    )
    return pipeline_of(graph, Options(2, len(stages), "throughput"), stages)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(network=quantized_networks(), data=st.data())
def test_any_network_however_it_is_cut(tmp_path: Path, network: Network, data: Any) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(network.model.SerializeToString())
    graph = import_model(path).graph
    places = range(1, len(group_layers(graph)))
    borders = data.draw(st.sets(st.sampled_from(places))) if places else set()
    pipeline = cut_after(graph, list(borders))
    (found,) = run_pipeline(pipeline, [network.inputs])
    expected = run(graph, network.inputs)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    again = run(pipeline.graph, network.inputs)
    for name, array in expected.items():
        np.testing.assert_array_equal(again[name], array)


def test_state_stays_with_its_stage() -> None:
    """y = x + old, old' = y, and a stage behind it: frame after frame the sum grows."""
    net = NetworkBuilder("running_sum")
    y = net.node("Add", (net.input("x", (1, 4)), net.input("old", (1, 4))), 8, name="sum")
    z = net.dense(y, 4, name="inner")
    graph = replace(net.graph(net.dense(z, 4, name="out"), y), state=(("old", y),))
    pipeline = cut_after(graph, [2])
    assert pipeline.links == (Link(z, 0, (1,), 4),)
    frames = [{"x": np.full((1, 4), 10 * k, np.uint8)} for k in (1, 2, 3)]
    found = run_pipeline(pipeline, frames)
    expected = list(run_frames(graph, lambda values: run(graph, values), frames))
    assert [set(f) for f in found] == [{"out_out"}] * 3
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours["out_out"], theirs["out_out"])


def test_inputs_are_those_of_the_network() -> None:
    pipeline = cut_after(small_cnn(2), [2, 4])
    image = np.zeros((2, 3, 8, 8), np.uint8)
    with pytest.raises(DataError, match="input 'image' must be given"):
        run_pipeline(pipeline, [{}])
    with pytest.raises(DataError, match="not 'other'; leave it out"):
        run_pipeline(pipeline, [{"image": image, "other": image}])
    with pytest.raises(DataError, match="must have shape"):
        run_pipeline(pipeline, [{"image": image[:1]}])
