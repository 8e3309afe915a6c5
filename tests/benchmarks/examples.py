"""Rows, networks and a pretended machine for the benchmark's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zapdeploy.benchmarks import BenchmarkRequest, Effort, Row, Scenario, Tools
from zapdeploy.benchmarks.measured.baselines import plain_loop
from zapdeploy.benchmarks.measured.machine import Machine
from zapdeploy.benchmarks.measured.meters import MeterSearch
from zapdeploy.benchmarks.measured.runner import Configuration, Frames
from zapdeploy.benchmarks.models.model_files import ModelFile
from zapdeploy.benchmarks.models.onnx_model import ModelFacts
from zapdeploy.benchmarks.results.rows import Latency, exactly
from zapdeploy.quantities import Estimate, Provenance

MACHINE = Machine("Example CPU", 2, 8 * 2**30, "Linux x86_64")
QUICK = Effort(warmup=1, min_queries=5, min_seconds=0.0, max_seconds=1.0, trial_seconds=0.0)
CPU_PROVIDERS = ("CPUExecutionProvider",)


def row(target: str = "cpu", precision: str = "int8", **fields: object) -> Row:
    """A measured SingleStream row of 100 frames/s and 50 mJ; `fields` replace its own."""
    own: dict[str, object] = {
        "key": f"net|{target}|{precision}",
        "model": "net",
        "precision": precision,
        "target": target,
        "scenario": Scenario.SINGLE_STREAM,
        "kind": Provenance.MEASURED,
        "boundary": "chip",
        "source": "an example",
        "batch": 1,
        "frames_per_s": 100.0,
        "latency_s": 0.01,
        "latency": Latency(0.01, 0.011, 0.02, 0.0101, 40),
        "energy_per_frame": Estimate(0.05, 0.02, 0.1, Provenance.MODELLED),
        "power": exactly(5.0, Provenance.MODELLED),
        "noise": 0.01,
        "machine": MACHINE.summary,
        "versions": {"zapdeploy": "0.1.0"},
        "configuration": {"threads": 1},
        "tried": ({"threads": 1}, {"threads": 2}),
        "digest": "abc",
    }
    return Row(**{**own, **fields})  # type: ignore[arg-type]


def cpu_request(model: str, **fields: object) -> BenchmarkRequest:
    """One model on the CPU, measured as briefly as can be; `fields` replace its own."""
    own: dict[str, object] = {"models": (model,), "targets": ("cpu",), "effort": QUICK}
    return BenchmarkRequest(**{**own, **fields})  # type: ignore[arg-type]


def model_file(form: str = "float", **facts: int) -> ModelFile:
    own = {"batch": 1, "input_elements": 8, "output_elements": 4, "weight_bytes": 100}
    activations = "float" if form == "float" else "unsigned"
    found = ModelFacts(precision="fp32", activations=activations, **{**own, **facts})
    return ModelFile(Path(f"{form}.onnx"), form, f"digest of {form}", found, "")


def write_network(path: Path, *, width: int = 8, fixed_batch: bool = False) -> Path:
    """Two small matrix layers with a ReLU between, batch 1, as a float ONNX file.

    fixed_batch: with a Reshape inside that only batch 1 passes.
    """
    random = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("Gemm", ["r" if not fixed_batch else "s", "w2", "b2"], ["y"], "second"),
    ]
    weights = [tensor("w1", width, 16), tensor("b1", 16), tensor("w2", 16, 4), tensor("b2", 4)]
    if fixed_batch:
        nodes.insert(2, helper.make_node("Reshape", ["r", "shape"], ["s"], "fixed"))
        weights.append(numpy_helper.from_array(np.array([1, 16]), "shape"))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def trained_forecaster(folder: Path, name: str = "linear-c4", seed: int = 0) -> Path:
    """The folder of a forecaster of the small recording's five neurons, trained for a moment."""
    from tests.recordings.examples import small
    from zapdeploy.forecasters.folder import ForecasterSpec
    from zapdeploy.forecasters.training import train
    from zapdeploy.forecasters.training_options import TrainingOptions

    options = TrainingOptions(steps=20, validate_every=20, learning_rate=0.01, seed=seed)
    train(ForecasterSpec(name, 5), small(), folder, options)
    return folder


@dataclass
class PretendedMachine:
    """A clock that only queries move, each by seconds(configuration); remembers what was opened."""

    seconds: Callable[[Configuration], float] = lambda configuration: 1 / 64
    now: float = 0.0
    opened: list[Configuration] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    @contextmanager
    def open_query(
        self, file: ModelFile, configuration: Configuration, frames: Frames
    ) -> Iterator[Callable[[], None]]:
        self.opened.append(configuration)

        def query() -> None:
            self.now += self.seconds(configuration)

        yield query

    def tools(self) -> Tools:
        return Tools(
            clock=self.clock,
            drive=plain_loop,
            find_meter=lambda device: MeterSearch(None, "no energy meter: pretended"),
            open_query=self.open_query,
            providers=lambda: CPU_PROVIDERS,
            busy_share=lambda: 0.0,
            memory_bytes=lambda: 2**33,
            torch_sees_gpu=lambda: False,
            gpu_name=lambda: "Example GPU",
            wait=self.wait,
            machine=MACHINE,
        )
