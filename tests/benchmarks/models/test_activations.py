"""The memory that values take, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.benchmarks.examples import model_file, write_network
from zapdeploy.benchmarks import ModelSize, Scenario
from zapdeploy.benchmarks.measured.baselines import Instruments, Search, configurations
from zapdeploy.benchmarks.models.activations import peak_activation_bytes
from zapdeploy.benchmarks.models.model_files import quantized_file
from zapdeploy.benchmarks.models.onnx_model import model_facts
from zapdeploy.benchmarks.models.workloads import find_workload
from zapdeploy.benchmarks.request import Effort


def test_values_live_until_their_last_use(tmp_path: Path) -> None:
    """x 8, h 16, r 16, y 4 floats: the most at once is h and r, 32 floats."""
    path = write_network(tmp_path / "net.onnx")
    assert peak_activation_bytes(onnx.load(path)) == 4 * 32
    assert model_facts(path).activation_bytes == 4 * 32


def test_a_skip_keeps_its_value_alive() -> None:
    """x 100, a 100, b 100 while x waits for the sum: 300 floats at once, twice."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 50]) for n in ("x", "y")]
    model = helper.make_model(helper.make_graph(nodes, "skip", values[:1], values[1:]))
    assert peak_activation_bytes(model) == 4 * 300


def test_a_quantized_form_needs_no_less_than_its_source(tmp_path: Path) -> None:
    workload = find_workload(str(write_network(tmp_path / "net.onnx")), ModelSize())
    for form in ("qdq", "qoperator"):
        file = quantized_file(workload, "int8", form, tmp_path)  # type: ignore[arg-type]
        assert file.facts.activation_bytes >= 4 * 32


def test_a_batch_whose_values_do_not_fit_is_not_tried() -> None:
    """1 GB a frame: batch 8 takes 8 GB of the 5 GB that may be used, and is never opened."""
    file = model_file("qdq", activation_bytes=10**9)
    instruments = Instruments(lambda: 0.0, memory_bytes=lambda: 8 * 10**9)
    search = Search((file,), Scenario.OFFLINE, Effort(), lambda count: None, instruments)
    (eight,) = (
        one
        for one in configurations((file,), Scenario.OFFLINE, 1, (8,), "CPUExecutionProvider")
        if one.streams == 1
    )
    assert search._try(eight).refusal == "takes about 8.0 GB of memory; 8.0 GB are free"


def test_large_constants_take_no_part_but_for_their_shapes() -> None:
    from onnx import helper, numpy_helper

    float32 = onnx.TensorProto.FLOAT
    weight = numpy_helper.from_array(np.zeros((64, 32), np.float32), "w")
    shape = numpy_helper.from_array(np.array([4, 8]), "s")  # small: its values are a shape
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Reshape", ["y", "s"], ["z"]),
    ]
    ends = [helper.make_tensor_value_info("x", float32, [1, 64])]
    out = [helper.make_tensor_value_info("z", float32, [4, 8])]
    graph = helper.make_graph(nodes, "g", ends, out, [weight, shape])
    assert peak_activation_bytes(helper.make_model(graph)) == 4 * (64 + 32)
