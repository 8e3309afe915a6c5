"""Opens a network in ONNX Runtime so that a query costs nothing but the query.

Inputs and outputs are bound to memory that is allocated once: at 71,721 neurons the outputs of a
batch take hundreds of megabytes, and fresh pages would be timed in place of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.benchmarks.measured.torch_runner import TORCH_PROVIDER, torch_query
from zapdeploy.benchmarks.models.model_files import ModelFile
from zapdeploy.benchmarks.models.onnx_model import at_batch
from zapdeploy.documents import Document
from zapdeploy.errors import ModelError
from zapdeploy.onnxruntime_sessions import GPU_PROVIDER, Purpose, open_session

HALF = "float16"
# Kernels: ONNX Runtime's default ones, or those whose sums do not saturate on this processor.
DEFAULT, EXACT = "default", "exact"


@dataclass(frozen=True)
class Configuration(Document):
    """One way to run a model file. `streams` queries of `batch` frames run side by side, each on
    `threads` threads. activations: "float", "float16", "unsigned" or "signed". kernels: "default",
    or "exact", where the default ones saturate.
    """

    form: str
    activations: str
    provider: str
    threads: int
    streams: int
    batch: int
    kernels: str = DEFAULT

    @property
    def cores(self) -> int:
        return self.threads * self.streams

    @property
    def frames_per_query(self) -> int:
        return self.batch * self.streams


Frames = Callable[[int], Mapping[str, NDArray[np.float32]] | None]


@contextmanager
def open_query(
    file: ModelFile, configuration: Configuration, frames: Frames
) -> Iterator[Callable[[], None]]:
    """A function that runs one query in every stream; memory and threads go when the block ends.

    `frames(n)` gives n inputs by name, or None: random ones are drawn. Raises ModelError when ONNX
    Runtime refuses the network, UsageError when the provider is not there.
    """
    if configuration.provider == TORCH_PROVIDER:
        yield _torch(file, configuration, frames)
        return
    session = _session(file, configuration)
    inputs = _inputs(session, frames(configuration.batch), configuration.batch)
    with ExitStack() as stack:
        batch, streams = configuration.batch, configuration.streams
        on_gpu = configuration.provider == GPU_PROVIDER
        run = [_stream(session, inputs, file, batch, on_gpu=on_gpu) for _ in range(streams)]
        if len(run) == 1:
            yield run[0]
            return
        pool = stack.enter_context(ThreadPoolExecutor(len(run)))

        def query() -> None:
            for started in [pool.submit(one) for one in run]:
                started.result()

        yield query


def wrong_share(file: ModelFile, configuration: Configuration, frames: Frames) -> float:
    """The share of outputs that the default kernels give otherwise than the exact ones."""
    sessions = [
        _session(file, replace(configuration, kernels=kind, threads=1)) for kind in (DEFAULT, EXACT)
    ]
    inputs = _inputs(sessions[0], frames(configuration.batch), configuration.batch)
    found, wanted = ([np.ravel(a) for a in session.run(None, inputs)] for session in sessions)
    different = sum(int(np.count_nonzero(a != b)) for a, b in zip(found, wanted, strict=True))
    return different / sum(a.size for a in wanted)


def available_providers() -> tuple[str, ...]:
    """Execution providers of the installed ONNX Runtime; none where it is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return ()
    return tuple(onnxruntime.get_available_providers())


def _torch(file: ModelFile, configuration: Configuration, frames: Frames) -> Callable[[], None]:
    given = frames(configuration.batch)
    if given is None:
        raise ModelError(f"model must have samples for torch, not a file ({file.path.name})")
    half = configuration.activations == HALF
    query = torch_query(file, given, half=half)
    return lambda: (query(), None)[1]


def _session(file: ModelFile, configuration: Configuration) -> Any:
    own = file.facts.batch == configuration.batch
    source = file.path if own else at_batch(file.path, configuration.batch)
    purpose = Purpose.INTEGER if configuration.kernels == EXACT else Purpose.BASELINE
    try:
        return open_session(
            source, purpose, threads=configuration.threads, provider=configuration.provider
        )
    except ModelError as error:
        raise _refused(file, error) from error


def _inputs(
    session: Any, given: Mapping[str, NDArray[np.float32]] | None, batch: int
) -> dict[str, NDArray[Any]]:
    if given is not None:
        return dict(given)
    random = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in value.shape]
        shape[:1] = [batch]
        if value.type != "tensor(float)":
            raise ModelError(
                f"input must be float32, not {value.type} ({value.name!r}); export the model with "
                "float32 inputs"
            )
        inputs[value.name] = random.standard_normal(shape, np.float32)
    return inputs


@dataclass(frozen=True)
class _Stream:
    """One stream of queries. It keeps its arrays alive: the binding only points to them.

    uploads: memory of a GPU, and what every query copies there. Inputs bound from the host would be
    copied once, when they are bound, and a query would seem faster than it is.
    """

    session: Any
    binding: Any
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[Any, ...]
    uploads: tuple[tuple[Any, NDArray[Any]], ...] = ()

    def __call__(self) -> None:
        for on_device, values in self.uploads:
            on_device.update_inplace(values)
        self.session.run_with_iobinding(self.binding)


def _stream(
    session: Any,
    inputs: Mapping[str, NDArray[Any]],
    file: ModelFile,
    batch: int,
    *,
    on_gpu: bool = False,
) -> _Stream:
    """A first run finds the outputs' shapes, later ones write to the same memory.

    What the first run took is given back: later ones lay their tensors out anew, in one block, and
    would keep both.
    """
    import onnxruntime

    names = [value.name for value in session.get_outputs()]
    options = onnxruntime.RunOptions()
    if not on_gpu:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    try:
        first = session.run(names, dict(inputs), options)
    except Exception as error:  # as above
        raise _refused(file, error) from error
    for name, value in zip(names, first, strict=True):
        if value.ndim and len(value) != batch:
            raise ModelError(
                f"output must begin with the batch {batch}, not {len(value)} ({name!r}); export "
                "the model without fixed sizes inside, or at that batch"
            )
    binding = session.io_binding()
    uploads = []
    for name, values in inputs.items():
        if on_gpu:
            uploads.append((onnxruntime.OrtValue.ortvalue_from_numpy(values, "cuda", 0), values))
            binding.bind_ortvalue_input(name, uploads[-1][0])
        else:
            binding.bind_cpu_input(name, values)
    outputs = tuple(onnxruntime.OrtValue.ortvalue_from_numpy(np.empty_like(v)) for v in first)
    for name, value in zip(names, outputs, strict=True):
        binding.bind_ortvalue_output(name, value)
    return _Stream(session, binding, inputs, outputs, tuple(uploads))


def _refused(file: ModelFile, error: Exception) -> ModelError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelError(
        f"model must be one that ONNX Runtime runs, not refused: {reason} ({file.path.name}); "
        "check it with onnx.checker"
    )
