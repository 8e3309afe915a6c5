"""From a trained torch module to an ONNX file with its record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.progress import Progress
from zapdeploy.quantize.golden_output import renew_golden
from zapdeploy.quantize.module_record import ModuleLayer, ModuleRecord
from zapdeploy.quantize.modules.agreement import agree
from zapdeploy.quantize.modules.build import (
    Prepared,
    Quantized,
    build,
    outputs,
    prepare_graph,
    silent,
)
from zapdeploy.quantize.modules.export import export, layer_nodes
from zapdeploy.quantize.modules.samples import argument_names, module_samples
from zapdeploy.quantize.modules.tracing import simplify, trace
from zapdeploy.quantize.modules.training import TrainingPlan, TrainingResult, train
from zapdeploy.quantize.modules.weights import rounding_of
from zapdeploy.quantize.recipe import Form
from zapdeploy.quantize.recipes import BitChoice, ModuleRecipe, find_recipe
from zapdeploy.quantize.samples import digest

# The file and inputs by name -> a document with "passed"; brings the functional simulator in.
Check = Callable[[Path, Mapping[str, NDArray[Any]]], Mapping[str, Any]]
Score = Callable[[fx.GraphModule], Mapping[str, float]]

_PACKAGES = ("brevitas", "numpy", "onnx", "onnxruntime", "torch")
TRAINING_BATCH = 8
HELD_BACK = 8  # one sample in so many validates the training


def prepare_module(
    module: nn.Module, calibration: Mapping[str, NDArray[Any]], *, equalized: bool = True
) -> Prepared:
    """Trace a module, check its calibration inputs and make it ready to be quantized.

    calibration: float arrays [count, ...] by argument name; a single argument is called "input".
    Raises ModelError for what cannot be traced, DataError for unfit inputs.
    """
    graph = simplify(trace(module))
    samples = module_samples(argument_names(graph), calibration)
    return prepare_graph(graph, samples, equalized=equalized)


def quantize_module(
    module: nn.Module,
    destination: str | Path,
    calibration: Mapping[str, NDArray[Any]],
    recipe: ModuleRecipe | str = "int8",
    *,
    form: Form | None = None,
    chosen: Mapping[str, BitChoice] | None = None,
    training: TrainingPlan | None = None,
    training_folder: Path | None = None,
    check: Check | None = None,
    score: Score | None = None,
    source: str = "",
    seed: int = 0,
    progress: Progress = silent,
) -> ModuleRecord:
    """Quantize a trained module into the ONNX file `destination`, and its record beside it.

    form: "qcdq", or "packed" (the default below 8 bits). chosen: bits of single layers, by name.
    training: quantization-aware, against the float network's outputs on the calibration inputs.
    check: compares the file with the functional simulator. score: measures the quantized graph.
    The file computes one sample at a time. Raises ModelError, DataError or UsageError.
    """
    target = Path(destination)
    if not target.parent.is_dir():
        raise UsageError(
            f"output must be in an existing folder, not {str(target)!r}; create it first"
        )
    chosen_recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
    torch.manual_seed(seed)
    prepared = prepare_module(module, calibration, equalized=chosen_recipe.equalize)
    quantized = build(prepared, chosen_recipe, chosen, progress=progress)
    trained = None
    if training is not None:
        trained = distill(prepared, quantized, training, training_folder, progress)
    return write_module(
        prepared,
        quantized,
        target,
        form=form,
        trained=trained,
        check=check,
        score=score,
        source=source or type(module).__name__,
        seed=seed,
    )


def write_module(
    prepared: Prepared,
    quantized: Quantized,
    target: Path,
    *,
    form: Form | None = None,
    trained: TrainingResult | None = None,
    check: Check | None = None,
    score: Score | None = None,
    source: str = "",
    notes: Mapping[str, str] | None = None,
    seed: int = 0,
) -> ModuleRecord:
    """Export a quantized graph, compare it with its file, and write file and record.

    notes: what the file's metadata is to say.
    """
    names = argument_names(quantized.graph)
    example = tuple(values[:1] for values in prepared.samples)
    shape: Form = form or ("packed" if _narrow(quantized) else "qcdq")
    if shape not in ("qcdq", "packed"):
        raise UsageError(f"form must be 'qcdq' or 'packed' for a torch module, not {shape!r}")
    model = export(quantized.graph, example, shape)
    for key, text in (notes or {}).items():
        model.metadata_props.add(key=key, value=text)
    renew_golden(model)
    content = model.SerializeToString(deterministic=True)
    agreement: dict[str, Any] = {"onnxruntime": _agreement(quantized.graph, model, example)}
    with atomic_write(target) as file:
        file.write(content)
    arrays = {name: values.numpy() for name, values in zip(names, example, strict=True)}
    if check is not None:
        agreement["functional"] = dict(check(target, arrays))
    samples = {name: values.numpy() for name, values in zip(names, prepared.samples, strict=True)}
    record = ModuleRecord(
        recipe=quantized.recipe,
        form=shape,
        seed=seed,
        source=source,
        calibration_samples=len(prepared.samples[0]),
        calibration_sha256=digest(samples),
        result=target.name,
        result_sha256=hashlib.sha256(content).hexdigest(),
        result_bytes=len(content),
        versions=tuple((package, version(package)) for package in _PACKAGES),
        layers=_layers(quantized),
        equalized=prepared.equalized,
        float_operators=prepared.float_operators,
        agreement=agreement,
        accuracy={**fidelity(prepared, quantized), **(score(quantized.graph) if score else {})},
        training=None if trained is None else asdict(trained),
    )
    with atomic_write(target.with_suffix(".json")) as file:
        file.write(record.to_json().encode())
    return record


def distill(
    prepared: Prepared,
    quantized: Quantized,
    plan: TrainingPlan,
    folder: Path | None = None,
    progress: Progress = silent,
) -> TrainingResult:
    """Train a quantized graph to compute what the float network computes on its samples."""
    with torch.no_grad():
        wanted = outputs(prepared.graph, prepared.samples)
    count = len(wanted)
    held = torch.arange(0, count, HELD_BACK) if count >= HELD_BACK else torch.arange(count)
    rest = torch.tensor([i for i in range(count) if count < HELD_BACK or i % HELD_BACK])

    def batches(step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        random = np.random.default_rng((plan.seed, step))
        rows = rest[torch.from_numpy(random.integers(0, len(rest), TRAINING_BATCH))]
        return tuple(values[rows] for values in prepared.samples), wanted[rows]

    def validate(graph: fx.GraphModule) -> float:
        found = outputs(graph, tuple(values[held] for values in prepared.samples))
        return float(((found - wanted[held]) ** 2).mean())

    return train(
        quantized.graph,
        batches,
        nn.functional.mse_loss,
        validate,
        plan,
        folder=folder,
        progress=progress,
    )


def fidelity(prepared: Prepared, quantized: Quantized) -> dict[str, float]:
    """The output's signal-to-noise ratio against the float network, on the calibration inputs."""
    exact = outputs(prepared.graph, prepared.samples).double()
    noise = ((outputs(quantized.graph, prepared.samples).double() - exact) ** 2).mean()
    ratio = (exact**2).mean() / noise.clamp_min(1e-300)
    return {"output_snr_db": float(10 * torch.log10(ratio))}


def _narrow(quantized: Quantized) -> bool:
    bits = quantized.placement.bits.values()
    return any(min(layer.weights, layer.activations) < 8 for layer in bits)


def _agreement(graph: fx.GraphModule, model: Any, example: tuple[Tensor, ...]) -> dict[str, Any]:
    found = agree(graph, model, example)
    return {
        "reference": "onnxruntime float, optimizations off",
        "passed": all(quantizer.passed for quantizer in found),
        "elements": sum(quantizer.elements for quantizer in found),
        "equal": sum(quantizer.equal for quantizer in found),
        "max_lsb": max(quantizer.max_lsb for quantizer in found),
        "quantizers": [asdict(quantizer) for quantizer in found],
    }


def _layers(quantized: Quantized) -> tuple[ModuleLayer, ...]:
    bits, recipe = quantized.placement.bits, quantized.recipe
    names = [str(node.target) for node in layer_nodes(quantized.graph)]
    layers = {name: quantized.graph.get_submodule(name) for name in names}
    return tuple(
        ModuleLayer(
            name=name,
            operator=type(layer).__name__[5:],
            weights=bits[name].weights,
            inputs=bits[name].activations,
            rounding=rounding_of(layer, recipe.rounding),
        )
        for name, layer in layers.items()
    )
