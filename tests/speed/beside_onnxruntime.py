"""A frame here beside ONNX Runtime's fastest one with the same values, in one run.

    python -m tests.speed.beside_onnxruntime resnet50-int8.onnx [BACKEND ...]

On processors without dot products of bytes ONNX Runtime's default kernels saturate: they are fast
and wrong. So it may use one thread or more, its default kernels or exact ones, and what counts is
its fastest configuration whose outputs equal those of the simulator in every bit. Blocks of frames
take turns, so that a busy moment of the machine strikes all of them, and the first of each block
are left out: the others' threads still spin then.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zapdeploy.compile import kernels
from zapdeploy.compile.frontend import import_model
from zapdeploy.sim.functional import Network

Array = npt.NDArray[Any]
BLOCKS, FRAMES, LEFT_OUT = 5, 8, 3


def taking_turns(calls: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Seconds of every call that counts."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(BLOCKS):
        for call, taken in zip(calls, seconds, strict=True):
            times = []
            for _ in range(FRAMES):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            taken.extend(times[LEFT_OUT:])
    return seconds


def exact_sessions(
    model: Path | bytes, inputs: Mapping[str, Array], expected: Sequence[Array]
) -> dict[str, Callable[[], object]]:
    """Calls of ONNX Runtime that give these outputs, by configuration."""
    import onnxruntime

    calls: dict[str, Callable[[], object]] = {}
    for threads, exact in itertools.product((1, kernels.thread_count()), ("0", "1")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.x64quantprecision", exact)
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        found = session.run(None, dict(inputs))
        if all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True)):
            name = f"{threads} threads, {'exact' if exact == '1' else 'default'} kernels"
            calls[name] = partial(session.run, None, dict(inputs))
    return calls


@dataclass(frozen=True)
class Comparison:
    """Seconds of a frame here and in ONNX Runtime's best exact configuration."""

    configuration: str
    own_s: list[float]
    best_s: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.own_s) / statistics.median(self.best_s)

    @property
    def ratio_of_shortest(self) -> float:
        return min(self.own_s) / min(self.best_s)

    def __str__(self) -> str:
        own, best = (1e3 * statistics.median(times) for times in (self.own_s, self.best_s))
        return (
            f"{own:.1f} ms, ONNX Runtime {best:.1f} ms ({self.configuration}): "
            f"{self.ratio:.2f} times, {self.ratio_of_shortest:.2f} of the shortest"
        )


def compare(
    frame: Callable[[], Sequence[Array]], model: Path | bytes, inputs: Mapping[str, Array]
) -> Comparison:
    """A call that returns the model's outputs, beside ONNX Runtime."""
    sessions = exact_sessions(model, inputs, frame())
    assert sessions, "no configuration of ONNX Runtime gives these values"
    own, *others = taking_turns([frame, *sessions.values()])
    best = min(range(len(others)), key=lambda index: statistics.median(others[index]))
    return Comparison(list(sessions)[best], own, others[best])


def main(model: Path, *backends: str) -> None:
    from zapdeploy.forecasters import sample_inputs

    inputs = sample_inputs("resnet50", 1)
    for backend in backends or kernels.available_backends()[:1]:
        kernels.set_backend(backend)
        network = Network.of(import_model(model).graph)
        print(backend, compare(partial(_frame, network, inputs), model, inputs), sep=": ")


def _frame(network: Network, inputs: Mapping[str, Array]) -> list[Array]:
    return list(network.run(inputs).values())


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
