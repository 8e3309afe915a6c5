"""Models to benchmark: a name that zapdeploy can build, or a user's ONNX file, in every precision.

A made file has its recipe beside it, and is made again when recipe or content differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from zapdeploy import version
from zapdeploy.benchmarks.onnx_model import ModelFacts, model_facts
from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.revin import host_normalisation, normalised_inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from zapdeploy.quantize import Form

FLOAT, FLOAT16, INT8, INT4 = "fp32", "fp16", "int8", "int4"
PRECISIONS = (FLOAT, FLOAT16, INT8, INT4)
CALIBRATION_SAMPLES = 8
SAMPLES_BUDGET_BYTES = 128 * 2**20


@dataclass(frozen=True)
class ModelSize:
    """How to build networks by name. neurons and width apply to forecasters alone; None: as
    published.
    """

    neurons: int | None = None
    width: int | None = None
    seed: int = 0


class InputOptions(TypedDict, total=False):
    """What a forecaster's inputs depend on; left out where it is as published."""

    neurons: int


class SizeOptions(InputOptions, total=False):
    """What the network itself depends on."""

    width: int


@dataclass(frozen=True)
class Workload:
    """A model of a benchmark. `path`: a user's ONNX file, else None and `name` is a known one.

    `identity` changes when what is measured changes: the recipe of a network by name, or the
    content of a file.
    """

    name: str
    identity: str
    path: Path | None
    size: ModelSize

    @property
    def is_forecaster(self) -> bool:
        from zapdeploy.forecasters.registry import find_model

        return self.path is None and find_model(self.name).kind == "traces"

    @property
    def has_module(self) -> bool:
        """Whether the network is one torch module with one output."""
        from zapdeploy.forecasters.registry import find_model

        return self.path is None and find_model(self.name).kind in ("traces", "image")

    @property
    def input_options(self) -> InputOptions:
        if not self.is_forecaster or self.size.neurons is None:
            return {}
        return {"neurons": self.size.neurons}

    @property
    def size_options(self) -> SizeOptions:
        options: SizeOptions = {}
        if self.is_forecaster and self.size.neurons is not None:
            options["neurons"] = self.size.neurons
        if self.is_forecaster and self.size.width is not None:
            options["width"] = self.size.width
        return options


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


def find_workload(name: str, size: ModelSize) -> Workload:
    """The workload of a name or a path ending in .onnx; raises UsageError for any other."""
    if not name.endswith(".onnx"):
        from zapdeploy.forecasters.registry import find_model

        find_model(name)
        text = json.dumps({"name": name, **asdict(size)}, sort_keys=True)
        return Workload(name, hashlib.sha256(text.encode()).hexdigest(), None, size)
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"model must be a file, not missing ({path}); check the path")
    return Workload(name, file_digest(path), path, size)


def float_file(workload: Workload, folder: Path) -> ModelFile:
    """The network in float32. Raises UsageError where a user's file is quantized already."""
    if workload.path is not None:
        return _given(workload.path, FLOAT)
    seed = workload.size.seed
    recipe = {
        "made by": f"zapdeploy {version()}, export_model",
        "name": workload.name,
        "seed": seed,
        **workload.size_options,
    }

    def make(path: Path) -> None:
        from zapdeploy.forecasters import export_model

        with _needs_torch(workload.name):
            export_model(workload.name, path, seed=seed, **workload.size_options)

    path = folder / f"{file_stem(workload)}-{FLOAT}.onnx"
    digest = obtain(path, recipe, make)
    note = f"random weights (seed {seed}): speed and energy only, no accuracy"
    return ModelFile(path, "float", digest, model_facts(path), note)


def quantized_file(workload: Workload, precision: str, form: Form, folder: Path) -> ModelFile:
    """The network at that precision in that form, made from its float file.

    A user's file that is quantized already is taken as it is, if of that precision.
    """
    if workload.path is not None and model_facts(workload.path).precision != FLOAT:
        return _given(workload.path, precision)
    source = float_file(workload, folder)
    bits = int(precision.removeprefix("int"))
    known = workload.path is None
    recipe = {
        "made by": f"zapdeploy {version()}, quantize_onnx",
        "source": source.sha256,
        "bits": bits,
        "form": form,
        "seed": workload.size.seed,
        "calibration": calibration_count(source.facts) if known else "random normal",
    }

    def make(path: Path) -> None:
        from zapdeploy.quantize import quantize_onnx

        samples = _calibration(workload, source.facts) if known else None
        quantize_onnx(
            source.path,
            path,
            weights=bits,
            activations=bits,
            form=form,
            calibration=samples,
            seed=workload.size.seed,
        )

    path = folder / f"{file_stem(workload)}-{precision}-{form}.onnx"
    digest = obtain(path, recipe, make)
    note = source.note if known else "calibrated on random inputs: speed and energy only"
    facts = model_facts(path)  # operators of quantized forms may hide the shapes behind them
    most = max(facts.activation_bytes, source.facts.activation_bytes)
    return ModelFile(path, form, digest, replace(facts, activation_bytes=most), note)


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
    """Inputs for a network by name, [count, ...] each; None for a user's file."""
    if workload.path is not None:
        return None
    from zapdeploy.forecasters import sample_inputs
    from zapdeploy.forecasters.export import read_notes

    distinct = min(count, calibration_count(file.facts))
    seed, options = workload.size.seed, workload.input_options
    samples = sample_inputs(workload.name, distinct, seed, **options)
    normalisation = host_normalisation(read_notes(file.path), str(file.path))
    samples = normalised_inputs(samples, normalisation)
    return {name: _repeated(values, count) for name, values in samples.items()}


def calibration_count(facts: ModelFacts) -> int:
    """Samples to draw: eight, or fewer where they would take more than 128 MiB."""
    each = max(4 * facts.input_elements, 1)
    return max(1, min(CALIBRATION_SAMPLES, SAMPLES_BUDGET_BYTES // each))


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _given(path: Path, precision: str) -> ModelFile:
    facts = model_facts(path)
    if facts.precision != precision:
        raise UsageError(
            f"precision of a quantized file must be its own, {facts.precision}, not {precision} "
            f"({path}); give the float file to have it quantized"
        )
    return ModelFile(path, "given", file_digest(path), facts, "")


def file_stem(workload: Workload) -> str:
    """File name without precision: the name and the size, or the stem and the content."""
    if workload.path is not None:
        return f"{workload.path.stem}-{workload.identity[:12]}"
    sizes = (f"{name[0]}{value}" for name, value in workload.size_options.items())
    return "-".join((workload.name, *sizes, f"s{workload.size.seed}"))


def _calibration(workload: Workload, facts: ModelFacts) -> dict[str, NDArray[np.float32]]:
    from zapdeploy.forecasters import sample_inputs

    count, options = calibration_count(facts), workload.input_options
    return sample_inputs(workload.name, count, workload.size.seed, **options)


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
