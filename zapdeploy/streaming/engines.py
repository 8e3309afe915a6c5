"""What runs the network of a forecaster, one window at a time, with memory taken once.

An engine does what the file leaves to the host (reversible instance normalisation) and its inverse,
so that its values are those that `evaluate` scores.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.accuracy.contenders import (
    contender_session,
    named_inputs,
    session_shapes,
)
from zapdeploy.errors import DataError, ModelError, UsageError
from zapdeploy.host_part import HostNormalisation, host_normalisation

CPU, GPU, SIMULATOR = "cpu", "gpu", "northpole-sim"
ENGINES = (CPU, GPU, SIMULATOR)
Shapes = Mapping[str, tuple[int, ...]]


class Network(Protocol):
    """A network with arrays of its own to read from and write to: input [1, context, neurons]."""

    input: Floats
    covariates: Floats | None
    output: Floats

    def run(self) -> None:
        """From `input` and `covariates` to `output` [1, horizon, neurons]."""
        ...


class Engine:
    """A network with the host's part around it. name: as `--engine`. simulated_s: on the chip."""

    def __init__(
        self,
        name: str,
        network: Network,
        normalisation: HostNormalisation | None,
        simulated_s: float | None = None,
    ) -> None:
        self.name, self.simulated_s = name, simulated_s
        self._network, self._normalisation = network, normalisation
        self.marks_ns = [0, 0]  # network asked, network answered
        _, self.context, self.neurons = network.input.shape
        if network.output.ndim != 3 or network.output.shape[2] != self.neurons:
            raise ModelError(
                f"forecaster must have an output [1, horizon, {self.neurons} neurons], not "
                f"{list(network.output.shape)}"
            )
        self.horizon = network.output.shape[1]
        if normalisation is not None and normalisation.scale.size != self.neurons:
            raise ModelError(
                f"host's normalisation must be of {self.neurons} neurons, not "
                f"{normalisation.scale.size}; export the model again"
            )
        self._work = None if normalisation is None else normalisation.workspace(self.context)

    def run(self, window: Floats, covariates: Floats | None = None) -> Floats:
        """A window [1, context, neurons] -> forecast [1, horizon, neurons], overwritten next time.

        Raises DataError where the network reads covariates and there are none that fit.
        """
        self._take_covariates(covariates)
        network, host, work = self._network, self._normalisation, self._work
        if host is None or work is None:
            np.copyto(network.input, window)
        else:
            host.normalise_into(window, network.input, work)
        self.marks_ns[0] = time.monotonic_ns()
        network.run()
        self.marks_ns[1] = time.monotonic_ns()
        if host is not None and work is not None:
            host.restore_in_place(network.output, work)
        return network.output

    def run_blank(self) -> None:
        """A window of zeros, to warm up."""
        self._network.input.fill(0)
        self._network.run()

    def _take_covariates(self, given: Floats | None) -> None:
        wanted = self._network.covariates
        if wanted is None:
            return
        if given is None or given.size != wanted.size:
            found = "none" if given is None else f"{given.size} numbers"
            raise DataError(
                f"covariates must be {list(wanted.shape[1:])} for each frame, not {found}"
            )
        np.copyto(wanted, given.reshape(wanted.shape))


def open_engine(path: Path, engine: str, threads: int | None = None) -> Engine:
    """The engine for a model. Raises ZapdeployError for a model or an engine that is none."""
    if engine not in ENGINES:
        raise UsageError(f"--engine must be one of {', '.join(ENGINES)}, not '{engine}'")
    if not path.exists():
        raise ModelError(f"model must be there, not missing ({path}); check the path")
    if path.suffix == ".zap" or engine == SIMULATOR:
        return _simulated(path)
    if path.suffix == ".onnx":
        return _in_onnxruntime(path, engine, threads)
    raise UsageError(
        f"model must be an .onnx or .zap file, not '{path}'; "
        f"export a folder first: zapdeploy quantize {path} --weights 8 --activations 8 -o OUT.onnx"
    )


def _in_onnxruntime(path: Path, engine: str, threads: int | None) -> Engine:
    session = contender_session(path, threads=threads, gpu=engine == GPU)
    shapes = session_shapes(session)
    network = _SessionNetwork(session, shapes, named_inputs(shapes, str(path)))
    notes = session.get_modelmeta().custom_metadata_map
    return Engine(engine, network, host_normalisation(notes, str(path)))


class _SessionNetwork:
    """An ONNX Runtime session with inputs and outputs bound to arrays of ours."""

    def __init__(self, session: Any, shapes: Shapes, names: tuple[str, ...]) -> None:
        self._session, self._binding = session, session.io_binding()
        arrays = {name: np.zeros(_alone(shapes[name], name), np.float32) for name in names}
        for name, array in arrays.items():
            self._bind(self._binding.bind_input, name, array)
        self.input = arrays[names[0]]
        self.covariates = arrays[names[1]] if len(names) > 1 else None
        output = session.get_outputs()[0]
        shape = tuple(size if isinstance(size, int) else 1 for size in output.shape)
        self.output = np.zeros(shape, np.float32)
        self._bind(self._binding.bind_output, output.name, self.output)

    @staticmethod
    def _bind(bind: Any, name: str, array: Floats) -> None:
        bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


def _simulated(path: Path) -> Engine:
    """The functional simulator, with the chip's own time for a frame beside it."""
    from zapdeploy.api import compile_model, load
    from zapdeploy.sim.results import summarize

    program = load(path) if path.suffix == ".zap" else compile_model(path, batch=1)
    if not program.fits:
        raise ModelError(f"model must fit the chip to be streamed, not exceed it ({path})")
    network = _GraphNetwork(program.graph, str(path))
    notes = host_normalisation(program.origin.notes, str(path))
    return Engine(SIMULATOR, network, notes, summarize(program).latency_s)


class _GraphNetwork:
    """A graph made ready for the functional simulator."""

    def __init__(self, graph: Any, where: str) -> None:
        from zapdeploy.sim.functional import Network as Prepared

        shapes = {name: graph.values[name].shape for name in graph.inputs}
        names = named_inputs(shapes, where)
        self._arrays = {name: np.zeros(_alone(shapes[name], name), np.float32) for name in names}
        self.input = self._arrays[names[0]]
        self.covariates = self._arrays[names[1]] if len(names) > 1 else None
        self._prepared, self._name = Prepared.of(graph), graph.outputs[0]
        self.output = np.zeros(graph.values[self._name].shape, np.float32)

    def run(self) -> None:
        np.copyto(self.output, self._prepared.run(self._arrays)[self._name])


def _alone(shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The shape, which must be of one window."""
    if shape[0] != 1:
        raise ModelError(
            f"input '{name}' must be of one window at a time to be streamed, not {shape[0]}; "
            "export or compile it with a batch of 1"
        )
    return shape
