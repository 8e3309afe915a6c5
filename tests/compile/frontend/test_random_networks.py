"""Random quantized networks: every layer equals ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings

from tests.compile.frontend.comparing import differences
from tests.strategies import INEXACT, Network, quantized_networks
from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.ops.base import operator
from zapdeploy.sim.functional import run


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(network=quantized_networks())
def test_every_layer_equals_onnx_runtime(tmp_path: Path, network: Network) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(network.model.SerializeToString())
    graph = import_model(path).graph
    outputs = run(graph, network.inputs)
    assert set(outputs) == set(graph.outputs)
    for node in graph.nodes:
        call = graph.call(node)
        assert operator(node.op).infer(call) == tuple(value.shape for value in call.outputs)
    for difference in differences(graph, network.model, network.inputs):
        if not difference.integer:
            assert difference.largest < 1e-4, difference
        else:
            assert difference.largest <= (difference.op in INEXACT), difference
