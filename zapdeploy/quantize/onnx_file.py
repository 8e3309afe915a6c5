"""Post-training quantization from one ONNX file to another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray

from zapdeploy.arrays import Arrays, named
from zapdeploy.errors import ModelError, UsageError
from zapdeploy.files import atomic_write
from zapdeploy.host_part import host_normalisation, normalised_inputs
from zapdeploy.progress import Progress
from zapdeploy.quantize.assembling import assemble
from zapdeploy.quantize.bit_choice import choose_bits
from zapdeploy.quantize.fidelity import Metric, blamed, fidelity, measured_by, outputs_of
from zapdeploy.quantize.golden_output import renew_golden
from zapdeploy.quantize.held_back import Split, hold_back, take_beside
from zapdeploy.quantize.index_ranges import ActivationScales
from zapdeploy.quantize.network import Network, Role, check_network
from zapdeploy.quantize.plan import Plan, make_plan
from zapdeploy.quantize.recipe import Form, Recipe
from zapdeploy.quantize.record import BitsChosen, LayerBits, QuantizeRecord
from zapdeploy.quantize.rounding import look_at
from zapdeploy.quantize.samples import check_samples, digest, random_samples, sample_count
from zapdeploy.quantize.source import FILE_LIMIT_BYTES, read_prepared
from zapdeploy.quantize.widths import layer_name
from zapdeploy.simplify import InputShapes
from zapdeploy.simplify.onnx_operators import PRODUCTS

REFINED_BYTES = 2**29  # of weights, of which several copies are held
ALL_ALIKE = (
    "all layers have the same bits: choosing them would hold more than "
    f"{REFINED_BYTES >> 20} MB of weights several times"
)
_PACKAGES = ("numpy", "onnx", "onnxruntime")


def quantize_onnx(
    source: str | Path,
    destination: str | Path,
    *,
    weights: int = 8,
    activations: int = 8,
    form: Form | None = None,
    calibration: Mapping[str, NDArray[Any]] | None = None,
    keep_first_last: int = 8,
    activation_scales: ActivationScales = "per tensor",
    rounding: Literal["nearest", "gptq"] = "nearest",
    refine: bool = False,
    min_snr_db: float | None = None,
    metric: Metric | None = None,
    shapes: InputShapes | None = None,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> QuantizeRecord:
    """Quantize the float ONNX file `source` into `destination`; returns how it was done.

    weights 8, 4 or 2 and activations 8 or 4 are bits; `form` defaults to "qdq" at 8 bits and to
    "packed" below (see Recipe). calibration: float arrays [count, ...] by input name; without it,
    standard normal inputs drawn from `seed` are used, and the record says so; an array under the
    name "" is the only input's. `shapes` gives open dimensions of inputs their lengths; those that
    it leaves open are found from the calibration inputs. Inputs that the file
    leaves the host to normalise are normalised first.

    Weights are symmetric per output channel, activations unsigned per tensor, or per neuron where
    `activation_scales` has it so ("auto", "per neuron"; see Recipe); scales below 8 bits, and all
    of tensors, have the least mean squared error over a grid of clip ratios.
    Every form is written from the same scales and integers, 8-bit ones too, and not by ONNX
    Runtime's static quantizer: so the QDQ and the QOperator file of a network are one function bit
    for bit, and first and last layers can have other widths than the rest.
    `rounding`: weights below 8 bits to the nearest code or by GPTQ. `refine`: what leaves the least
    noise, of layers equalized or not, and of ranges of 8 bits chosen or whole; with GPTQ; networks
    of more than 512 MB are left as they are.
    `min_snr_db`: bits are chosen layer by layer, from `weights` and `activations` up, so that the
    worst output has this signal-to-noise ratio, or 1 dB less than with 8 bits everywhere where that
    is less; networks of more than 512 MB keep the same bits everywhere, and the record says so.
    `metric`: says how well outputs do a task, of the float and of the quantized network;
    arrays of the calibration that are no inputs, such as labels, are handed to it.
    Equal arguments give equal bytes; an interrupted call leaves no file. Raises ModelError,
    DataError or UsageError.
    """
    chosen: Form = form or ("qdq" if min(weights, activations) == 8 else "packed")
    recipe = Recipe(weights, activations, chosen, keep_first_last, activation_scales)
    origin, target = Path(source), Path(destination)
    _check_asked(target, recipe, refine, min_snr_db)
    read = _read(origin, recipe, shapes, calibration, seed, metric is not None)
    remarks, network, split = read.notes, read.network, read.split
    if min_snr_db is not None and not _is_small(network):
        min_snr_db, remarks = None, (*remarks, ALL_ALIKE)
    exact = outputs_of(network, split.judged)
    plan, choice = _planned(network, recipe, split, rounding, refine, min_snr_db, progress)
    written = assemble(plan, recipe.form)
    content = _serialized(written, golden=True)
    judged = written if recipe.form != "qoperator" else assemble(plan, "qdq")
    found = fidelity(exact, judged, split.judged, held_back=split.held_back)
    if calibration is not None:
        if found.lost:
            original = Network(read_prepared(origin, recipe.opset, shapes, read.seen)[0])
            found = replace(found, blame=blamed(plan, original, judged, split.judged))
        if metric is not None:
            given = {**split.judged, **take_beside(network, read.samples, read.beside)}
            found = replace(found, metric=measured_by(metric, exact, judged, split.judged, given))
    with atomic_write(target) as file:
        file.write(content)
    return QuantizeRecord(
        recipe=recipe.name if min_snr_db is None else f"{recipe.name}-snr{min_snr_db:g}",
        weights=weights,
        activations=activations,
        keep_first_last=keep_first_last,
        form=chosen,
        seed=seed,
        calibration="random normal" if calibration is None else "given",
        calibration_samples=sample_count(network, split.fitted),
        calibration_sha256=digest(read.samples),
        source=origin.name,
        source_sha256=_file_digest(origin),
        result=target.name,
        result_sha256=hashlib.sha256(content).hexdigest(),
        result_bytes=len(content),
        versions=tuple((package, version(package)) for package in _PACKAGES),
        layers=_layer_bits(plan),
        fidelity=found,
        choice=choice,
        float_layers=_float_layers(network),
        notes=remarks,
    )


def _check_asked(target: Path, recipe: Recipe, refine: bool, min_snr_db: float | None) -> None:
    """Raise UsageError for arguments that contradict each other, and for no folder to write to."""
    if not target.parent.is_dir():
        raise UsageError(
            f"output must be in an existing folder, not {str(target)!r}; create it first"
        )
    scales = recipe.activation_scales
    if (refine or min_snr_db is not None) and scales != "per tensor":
        raise UsageError(
            f"scales must be per tensor where codes are refined or bits chosen, not "
            f"{scales}; leave out --min-snr, or give 0"
        )
    if min_snr_db is not None and recipe.form == "qoperator":
        raise UsageError(
            "form must be qdq, qcdq or packed for bits chosen layer by layer, not qoperator; leave "
            "out --min-snr, or give 0"
        )


@dataclass(frozen=True, eq=False)
class _Read:
    """A network, what was changed in it, and its samples.

    `seen`: shapes of the arrays that were given; `beside`: those that are no inputs.
    """

    network: Network
    notes: tuple[str, ...]
    seen: Mapping[str, tuple[int, ...]]
    samples: Arrays
    beside: Arrays
    split: Split


def _read(
    origin: Path,
    recipe: Recipe,
    shapes: InputShapes | None,
    calibration: Arrays | None,
    seed: int,
    metric: bool,
) -> _Read:
    """The prepared network, and the inputs to choose scales and to judge on."""
    seen = {name: values.shape for name, values in (calibration or {}).items()}
    model, remarks = read_prepared(origin, recipe.opset, shapes, seen)
    network = Network(model)
    check_network(network)
    notes = {entry.key: entry.value for entry in network.model.metadata_props}
    normalisation = host_normalisation(notes, str(origin))
    beside: Arrays = {}
    if calibration is None:
        samples: Arrays = random_samples(network, seed)
    else:
        given, beside = _apart(calibration, network, metric)
        samples = normalised_inputs(given, normalisation)
    check_samples(network, samples)
    split = _split(network, samples, calibration is None, seed)
    return _Read(network, remarks, seen, samples, beside, split)


def _planned(
    network: Network,
    recipe: Recipe,
    split: Split,
    rounding: Literal["nearest", "gptq"],
    refine: bool,
    min_snr_db: float | None,
    progress: Progress,
) -> tuple[Plan, BitsChosen | None]:
    """Bits, scales and codes; what was chosen by measured noise, None where nothing was."""
    if min_snr_db is not None or (refine and _is_small(network)):
        return choose_bits(network, recipe, min_snr_db, split.fitted, progress)
    gptq = rounding == "gptq" and recipe.weights < 8
    rounded = look_at(network, split.fitted) if gptq else None
    return make_plan(network, recipe, split.fitted, rounded), None


def preview(source: Path, destination: Path, shapes: InputShapes | None = None) -> tuple[str, ...]:
    """Write what `quantize_onnx` would at 8 bits, but for its scales; returns notes.

    Nothing is calibrated. Raises ModelError for a file that cannot be quantized.
    """
    recipe = Recipe(8, 8, "qdq", 8)
    model, notes = read_prepared(source, recipe.opset, shapes)
    network = Network(model)
    check_network(network)
    destination.write_bytes(_serialized(assemble(make_plan(network, recipe, None), recipe.form)))
    return notes


def _apart(calibration: Arrays, network: Network, metric: bool) -> tuple[Arrays, Arrays]:
    """The network's inputs, and what a metric wants beside them."""
    inputs = {n: v for n, v in calibration.items() if n in network.input_names}
    if not metric or not inputs:
        return named(calibration, network.input_names), {}
    return inputs, {n: v for n, v in calibration.items() if n not in inputs}


def _split(network: Network, samples: Arrays, drawn: bool, seed: int) -> Split:
    """Given samples in two parts; where they were drawn, as many more are drawn to judge on."""
    if drawn:
        return Split(samples, random_samples(network, seed + 1), True)
    return hold_back(network, samples)


def _serialized(model: onnx.ModelProto, *, golden: bool = False) -> bytes:
    """The model as the bytes of an ONNX file. golden: with its own golden output."""
    size = model.ByteSize()
    if size >= FILE_LIMIT_BYTES:
        raise ModelError(
            f"quantized model must be under 2 GiB in one ONNX file, not {size / 2**30:.1f} GiB; "
            "quantize to fewer bits or in form 'packed'"
        )
    if golden:
        renew_golden(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _layer_bits(plan: Plan) -> tuple[LayerBits, ...]:
    network = plan.network
    return tuple(
        LayerBits(
            name=layer_name(layer),
            operator=layer.op_type,
            weights=plan.weights[layer.output[0]].bits,
            inputs=plan.source(layer).bits,
            outputs=plan.quantizers[network.result(layer)].bits,
        )
        for layer in network.layers
    )


def _is_small(network: Network) -> bool:
    """Whether the weights can be held several times."""
    return sum(len(tensor.raw_data) for tensor in network.initializers.values()) <= REFINED_BYTES


def _float_layers(network: Network) -> tuple[str, ...]:
    """Products and convolutions that quantization leaves as they are."""
    return tuple(
        layer_name(node)
        for node in network.nodes
        if node.op_type in PRODUCTS and network.role(node) is Role.FLOAT
    )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
