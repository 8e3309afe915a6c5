"""ONNX files of a benchmark's models, in every precision.

A made file has its recipe beside it, and is made again when recipe or content differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy import version
from zapdeploy.benchmarks.models.onnx_model import ModelFacts, load_model, model_facts
from zapdeploy.benchmarks.models.workloads import FLOAT, FLOAT16, INT8, Workload, file_digest
from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.host_part import host_normalisation, normalised_inputs
from zapdeploy.simplify import network_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from zapdeploy.quantize import Form
    from zapdeploy.quantize.index_ranges import ActivationScales

_WIDTHS = re.compile(r"int([84])|w([842])a([84])")
CALIBRATION_SAMPLES = 8
SAMPLES_BUDGET_BYTES = 128 * 2**20
PER_TENSOR: ActivationScales = "per tensor"  # as ONNX Runtime's integer kernels want it
PER_NEURON: ActivationScales = "auto"  # where that errs less


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file of a workload. form: "float", "half", "qdq", "qoperator", "packed", "given".

    "torch" is the float file's network, which `build` makes for torch to run.
    """

    path: Path
    form: str
    sha256: str
    facts: ModelFacts
    note: str
    build: Callable[[], nn.Module] | None = None


def precision_file(
    workload: Workload, precision: str, folder: Path, *, core_array: bool = False
) -> ModelFile:
    """The network at that precision, in the form that a simulator reads and accuracy is judged on.

    core_array: for a chip that may have a scale for every neuron; a trained forecaster's file then
    has them where they err less. Raises UsageError where a user's file is quantized already, to
    another precision.
    """
    if precision == FLOAT:
        return float_file(workload, folder)
    if precision == FLOAT16:
        return half_file(workload, folder)
    form: Form = "qdq" if precision == INT8 else "packed"
    scales = PER_NEURON if core_array and workload.windows is not None else PER_TENSOR
    return quantized_file(workload, precision, form, folder, scales)


def float_file(workload: Workload, folder: Path) -> ModelFile:
    """The network in float32. Raises UsageError where a user's file is quantized already."""
    if workload.path is not None:
        return _given(workload.path, FLOAT)
    recipe = {
        "made by": f"zapdeploy {version()}, export_model",
        "name": workload.network,
        "seed": workload.size.seed,
        **workload.size_options,
    }
    if workload.trained is not None:
        recipe["trained"] = workload.identity

    def make(path: Path) -> None:
        with _needs_torch(workload.name):
            workload.export(path)

    path = folder / f"{workload.stem}-{FLOAT}.onnx"
    digest = obtain(path, recipe, make)
    return ModelFile(path, "float", digest, model_facts(path), workload.note)


def half_file(workload: Workload, folder: Path) -> ModelFile:
    """The network in float16, its inputs and outputs in float32; made from its float file."""
    source = float_file(workload, folder)
    recipe = {"made by": f"zapdeploy {version()}, float16", "source": source.sha256}

    def make(path: Path) -> None:
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = convert_float_to_float16(load_model(source.path), keep_io_types=True)
        with atomic_write(path) as file:
            file.write(model.SerializeToString())

    path = folder / f"{workload.stem}-{FLOAT16}.onnx"
    digest = obtain(path, recipe, make)
    return ModelFile(path, "half", digest, source.facts, source.note)


def quantized_file(
    workload: Workload,
    precision: str,
    form: Form,
    folder: Path,
    scales: ActivationScales = PER_TENSOR,
) -> ModelFile:
    """The network at that precision in that form, made from its float file.

    A user's file that is quantized already is taken as it is, if of that precision.
    """
    if workload.path is not None and model_facts(workload.path).precision != FLOAT:
        return _given(workload.path, precision)
    source = float_file(workload, folder)
    weights, activations = bits_of(precision)
    count = calibration_count(source.facts)
    inputs, note = _calibrated_on(workload, count)
    recipe = {
        "made by": f"zapdeploy {version()}, quantize_onnx",
        "source": source.sha256,
        "bits": weights if weights == activations else [weights, activations],
        "form": form,
        "seed": workload.size.seed,
        "calibration": inputs,
        **({} if scales == PER_TENSOR else {"scales": scales}),
    }

    def make(path: Path) -> None:
        from zapdeploy.quantize import quantize_onnx

        quantize_onnx(
            source.path,
            path,
            weights=weights,
            activations=activations,
            form=form,
            calibration=workload.samples(count),
            activation_scales=scales,
            seed=workload.size.seed,
        )

    ending = "" if scales == PER_TENSOR else "-neurons"
    path = folder / f"{workload.stem}-{precision}-{form}{ending}.onnx"
    digest = obtain(path, recipe, make)
    facts = model_facts(path)  # operators of quantized forms may hide the shapes behind them
    most = max(facts.activation_bytes, source.facts.activation_bytes)
    return ModelFile(path, form, digest, replace(facts, activation_bytes=most), note)


def bits_of(precision: str) -> tuple[int, int]:
    """Bits of weights and activations: "int8" has 8 and 8, "w4a8" 4 and 8.

    Raises UsageError for what the quantizer has not.
    """
    found = _WIDTHS.fullmatch(precision)
    if found is None:
        raise UsageError(
            f"precision must be int8, int4 or wNaM with weights of 8, 4 or 2 bits and activations "
            f"of 8 or 4, such as w4a8, not '{precision}'"
        )
    weights, activations = found[1] or found[2], found[1] or found[3]
    return int(weights), int(activations)


def _calibrated_on(workload: Workload, count: int) -> tuple[int | str, str]:
    """What a network is quantized with, for its recipe, and what to know of that."""
    if workload.path is not None:
        return "random normal", "calibrated on random inputs: speed and energy only"
    if workload.windows is not None:
        return "kept windows", "calibrated on the windows that training kept"
    if workload.trained is not None:
        return count, "calibrated on synthetic windows: its folder keeps none"
    return count, workload.note


def obtain(path: Path, recipe: Mapping[str, Any], make: Callable[[Path], None]) -> str:
    """SHA-256 of the file of that recipe, made unless it is there, whole and of this recipe."""
    record = path.with_suffix(".recipe.json")
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if known.get("recipe") == dict(recipe) and path.is_file():
        digest = file_digest(path)
        if digest == known.get("sha256"):
            return digest
    make(path)
    digest = file_digest(path)
    with atomic_write(record) as file:
        file.write(json.dumps({"recipe": dict(recipe), "sha256": digest}, indent=2).encode())
    return digest


def sample_frames(
    workload: Workload, file: ModelFile, count: int
) -> Mapping[str, NDArray[np.float32]] | None:
    """Inputs for a network that is no user's file, [count, ...] each; None for one that is."""
    from zapdeploy.forecasters.export import read_notes

    samples = workload.samples(min(count, calibration_count(file.facts)))
    if samples is None:
        return None
    cut = {name: values[:count] for name, values in samples.items()}
    normalisation = host_normalisation(read_notes(file.path), str(file.path))
    normal = normalised_inputs(cut, normalisation)
    return {name: _repeated(values, count) for name, values in normal.items()}


def calibration_count(facts: ModelFacts) -> int:
    """Samples to draw: eight, or fewer where they would take more than 128 MiB."""
    each = max(4 * facts.input_elements, 1)
    return max(1, min(CALIBRATION_SAMPLES, SAMPLES_BUDGET_BYTES // each))


def _given(path: Path, precision: str) -> ModelFile:
    facts = model_facts(path)
    if facts.precision != precision:
        raise UsageError(
            f"precision of a quantized file must be its own, {facts.precision}, not {precision} "
            f"({path}); give the float file to have it quantized"
        )
    return ModelFile(path, "given", network_digest(path), facts, "")


def _repeated(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    import numpy as np

    copies = -(-count // len(values))
    return np.ascontiguousarray(np.concatenate([values] * copies)[:count])


@contextmanager
def _needs_torch(name: str) -> Iterator[None]:
    """Say what to install where torch is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} must be installed to build a network by name, not missing (model "
            f"'{name}'); run: pip install {error.name}, or give an ONNX file"
        ) from error
