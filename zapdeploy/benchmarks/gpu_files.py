"""The further forms that a network is tried in on a GPU: float16, and torch's own module."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zapdeploy import version
from zapdeploy.benchmarks.onnx_model import load_model
from zapdeploy.benchmarks.workloads import (
    FLOAT16,
    ModelFile,
    Workload,
    file_stem,
    float_file,
    obtain,
)
from zapdeploy.files import atomic_write

if TYPE_CHECKING:
    from torch import nn


def half_file(workload: Workload, folder: Path) -> ModelFile:
    """The network in float16, its inputs and outputs in float32; made from its float file."""
    source = float_file(workload, folder)
    recipe = {"made by": f"zapdeploy {version()}, float16", "source": source.sha256}

    def make(path: Path) -> None:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(load_model(source.path), keep_io_types=True)
        with atomic_write(path) as file:
            file.write(model.SerializeToString())

    path = folder / f"{file_stem(workload)}-{FLOAT16}.onnx"
    digest = obtain(path, recipe, make)
    return ModelFile(path, "half", digest, source.facts, source.note)


def torch_file(workload: Workload, folder: Path) -> ModelFile | None:
    """The float file with its network for torch; None for a user's, or where torch has none."""
    if workload.path is not None or not workload.has_module:
        return None
    source, seed = float_file(workload, folder), workload.size.seed

    def build() -> nn.Module:
        from zapdeploy.forecasters.build import build_model

        return build_model(workload.name, seed=seed, revin=False, **workload.size_options)

    return replace(source, form="torch", build=build)
