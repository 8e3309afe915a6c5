"""A frame here beside ONNX Runtime's fastest one with the same values, in one run.

    python -m tests.speed.beside_onnxruntime resnet50-int8.onnx [BACKEND ...]

On processors without dot products of bytes ONNX Runtime's default kernels saturate: they are fast
and wrong. So it may use one thread or more, its default kernels or exact ones, and what counts is
its fastest configuration whose outputs equal those of the simulator in every bit. Blocks of frames take
turns, so that a busy moment of the machine strikes all of them, and the first of each block are
left out: the others' threads still spin then.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
            calls[name] = lambda session=session: session.run(None, dict(inputs))  # type: ignore[misc]
    return calls


def ratio(
    frame: Callable[[], object],
    model: Path | bytes,
    inputs: Mapping[str, Array],
    expected: Sequence[Array],
) -> dict[str, float | str]:
    """Milliseconds of both and their ratio: of the medians, and of the shortest frames."""
    sessions = exact_sessions(model, inputs, expected)
    own, *others = taking_turns([frame, *sessions.values()])
    best = min(range(len(others)), key=lambda index: statistics.median(others[index]))
    median, shortest = statistics.median(own), min(own)
    return {
        "onnxruntime": list(sessions)[best],
        "frame_ms": 1e3 * median,
        "onnxruntime_ms": 1e3 * statistics.median(others[best]),
        "ratio": median / statistics.median(others[best]),
        "ratio_of_shortest": shortest / min(map(min, others)),
    }


def main(model: Path, *backends: str) -> None:
    from zapdeploy.forecasters import sample_inputs

    inputs = sample_inputs("resnet50", 1)
    for backend in backends or (None,):
        kernels.set_backend(backend)
        network = Network.of(import_model(model).graph)
        found = ratio(lambda: network.run(inputs), model, inputs, list(network.run(inputs).values()))  # noqa: B023
        print(
            f"{backend or kernels.available_backends()[0]}: {found['frame_ms']:.1f} ms, "
            f"ONNX Runtime ({found['onnxruntime']}) {found['onnxruntime_ms']:.1f} ms, "
            f"ratio {found['ratio']:.2f} ({found['ratio_of_shortest']:.2f} of the shortest)"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
