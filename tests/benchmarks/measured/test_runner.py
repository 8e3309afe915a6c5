"""Queries through the real ONNX Runtime."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.benchmarks.examples import write_network
from zapdeploy.benchmarks import ModelSize
from zapdeploy.benchmarks.measured.runner import Configuration, open_query
from zapdeploy.benchmarks.models.model_files import ModelFile, float_file, quantized_file
from zapdeploy.benchmarks.models.workloads import find_workload
from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import CPU_PROVIDER


def _float(path: Path) -> ModelFile:
    return float_file(find_workload(str(path), ModelSize()), path.parent)


def _configuration(batch: int = 1, streams: int = 1) -> Configuration:
    return Configuration("given", "float", CPU_PROVIDER, 1, streams, batch)


@pytest.mark.parametrize(("batch", "streams"), [(1, 1), (8, 1), (4, 2)])
def test_query_runs_at_any_batch_in_any_number_of_streams(
    tmp_path: Path, batch: int, streams: int
) -> None:
    file = _float(write_network(tmp_path / "net.onnx"))
    asked: list[int] = []

    def frames(count: int) -> dict[str, np.ndarray]:
        asked.append(count)
        return {"x": np.ones((count, 8), np.float32)}

    with open_query(file, _configuration(batch, streams), frames) as query:
        for _ in range(3):
            query()
    assert asked == [batch]


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_quantized_forms_run_on_random_frames(tmp_path: Path, form: str) -> None:
    workload = find_workload(str(write_network(tmp_path / "net.onnx")), ModelSize())
    file = quantized_file(workload, "int8", form, tmp_path)  # type: ignore[arg-type]
    with open_query(file, _configuration(8), lambda count: None) as query:
        query()


def test_network_with_a_fixed_batch_inside_is_refused_at_another(tmp_path: Path) -> None:
    file = _float(write_network(tmp_path / "net.onnx", fixed_batch=True))
    with open_query(file, _configuration(1), lambda count: None) as query:
        query()
    with (
        pytest.raises(ModelError, match=r"model must be one that ONNX Runtime runs, not refused"),
        open_query(file, _configuration(8), lambda count: None),
    ):
        pass


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="resident memory: Linux only")
def test_the_first_run_gives_back_what_it_took(tmp_path: Path) -> None:
    """It has a tensor of 256 MB, which the queries after it lay out anew."""
    nodes = [
        helper.make_node("Abs", ["x"], ["narrow"]),
        helper.make_node("Expand", ["narrow", "size"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["y"], axes=[1]),
    ]
    shape = [1, 1, 16]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.array([1, 2**22, 16]), "size")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    file = _float(tmp_path / "net.onnx")
    before = _resident_bytes()
    with open_query(file, _configuration(), lambda count: None) as query:
        assert _resident_bytes() - before < 2**27
        query()
        assert _resident_bytes() - before > 2**27


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
