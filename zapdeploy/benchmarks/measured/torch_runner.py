"""The second engine on a GPU: torch runs the network itself, in place of an ONNX file.

As with ONNX Runtime, a query takes its frames from the host's memory and leaves its results there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.benchmarks.models.model_files import ModelFile
from zapdeploy.errors import ModelError

TORCH_PROVIDER = "torch.cuda"
CUDA = "cuda"


def torch_sees_gpu() -> bool:
    """Whether torch is installed and finds a CUDA device."""
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return bool(torch.cuda.is_available())


def torch_query(
    file: ModelFile,
    inputs: Mapping[str, NDArray[np.float32]],
    *,
    half: bool,
    device: str = CUDA,
) -> Callable[[], NDArray[np.float32]]:
    """A function that runs one query and gives its output, in memory that the next one overwrites.

    Inputs in the order of the network's arguments. half: weights and values in float16.
    Raises ModelError when torch refuses the network.
    """
    import torch

    if file.build is None:
        raise ModelError(f"model must be one that zapdeploy builds, not a file ({file.path.name})")
    kind = torch.float16 if half else torch.float32
    module: Any = file.build().to(device, kind)
    host = [_pinned(torch.from_numpy(values), device) for values in inputs.values()]

    def forward() -> Any:
        with torch.inference_mode():  # a thread's own, and the driver may have one
            return module(*(values.to(device, kind, non_blocking=True) for values in host))

    try:
        first = forward()
    except RuntimeError as error:  # out of memory is one, too
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"model must be one that torch runs, not refused: {reason}") from error
    result = _pinned(torch.empty(first.shape, dtype=torch.float32), device)

    def query() -> NDArray[np.float32]:
        result.copy_(forward())  # waits for the device
        found: NDArray[np.float32] = result.numpy()
        return found

    return query


def _pinned(values: Any, device: str) -> Any:
    """Host memory that a GPU copies from and to at full speed."""
    return values.pin_memory() if device == CUDA else values
