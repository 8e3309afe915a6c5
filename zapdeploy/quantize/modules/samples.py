"""Calibration inputs of a torch module: checked, and turned into tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from zapdeploy.errors import DataError
from zapdeploy.quantize.samples import check_values, check_varied

SINGLE_INPUT = "input"


def argument_names(graph: fx.GraphModule) -> tuple[str, ...]:
    """What the ONNX file calls its inputs: the module's arguments, "input" for a single one."""
    names = tuple(str(node.target) for node in graph.graph.nodes if node.op == "placeholder")
    return (SINGLE_INPUT,) if len(names) == 1 else names


def module_samples(
    names: tuple[str, ...], calibration: Mapping[str, NDArray[Any]]
) -> tuple[Tensor, ...]:
    """Float32 samples [count, ...] in the order of the arguments.

    Raises DataError for wrong names, NaN, constant values or unequal counts.
    """
    if set(names) != set(calibration):
        raise DataError(
            f"calibration must hold the inputs {sorted(names)}, not {sorted(calibration)}; "
            "name the arrays as the module names its arguments (a single one: 'input')"
        )
    for name in names:
        if not calibration[name].ndim or not calibration[name].size:
            raise DataError(
                f"samples must be at least one, not none (calibration input {name!r}); "
                "give representative inputs"
            )
        check_values(name, calibration[name])
    check_varied(calibration)
    counts = {name: len(calibration[name]) for name in names}
    if len(set(counts.values())) > 1:
        raise DataError(
            f"calibration must hold equally many samples of every input, not {counts}; "
            "cut them to the same count"
        )
    return tuple(
        torch.from_numpy(np.ascontiguousarray(calibration[name], np.float32)) for name in names
    )


def check_runs(graph: fx.GraphModule, samples: tuple[Tensor, ...]) -> None:
    """Raise DataError unless the network runs on the samples and computes finite numbers."""
    try:
        with torch.no_grad():
            found = graph(*(values[:1] for values in samples))
    except (RuntimeError, IndexError, ValueError) as error:
        shapes = [list(values.shape[1:]) for values in samples]
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"calibration must be inputs that the module runs on, not of shape {shapes}: {reason}; "
            "check their sizes"
        ) from error
    results = (found,) if isinstance(found, Tensor) else tuple(found)
    if not all(isinstance(result, Tensor) for result in results):
        raise DataError("module must return tensors, not other objects; wrap it")
    if not all(bool(torch.isfinite(result).all()) for result in results):
        raise DataError("outputs must be finite, not NaN or infinite; repair the checkpoint")
