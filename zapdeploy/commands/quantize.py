"""A float network in fewer bits: an ONNX file, a forecaster's folder, or a torch module."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from zapdeploy.arrays import Arrays, load_arrays
from zapdeploy.errors import UsageError, ZapdeployError
from zapdeploy.files import atomic_write
from zapdeploy.functions import load_function
from zapdeploy.progress import Progress
from zapdeploy.quantize import QuantizeRecord, quantize_onnx
from zapdeploy.quantize.index_ranges import ActivationScales
from zapdeploy.quantize.module_record import ModuleRecord
from zapdeploy.quantize.recipe import Form
from zapdeploy.quantize.recipes import Rounding
from zapdeploy.simplify import InputShapes

_WEIGHTS = (8, 4, 2, "mixed")
_FRONTS = 8  # tried, from the input on
MIN_SNR_DB = 25.0  # of the worst output, which layers below 8 bits must leave


def quantize(
    model: str | Path,
    output: str | Path,
    *,
    weights: int | Literal["mixed"] = 8,
    activations: int = 8,
    calibration: Arrays | str | Path | None = None,
    activation_scales: ActivationScales | None = None,
    keep_first_last: int | None = None,
    form: Form | None = None,
    qat: int | None = None,
    checkpoint: str | Path | None = None,
    powers_of_two: bool = False,
    percentile: bool = False,
    rounding: Rounding | None = None,
    shapes: InputShapes | None = None,
    target: str = "northpole-sim",
    min_snr: float | None = None,
    max_energy: float | None = None,
    max_latency: float | None = None,
    activity: bool = False,
    metric: str | None = None,
    host: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> QuantizeRecord | ModuleRecord:
    """Quantize a float network into an ONNX file, and write its record beside it as JSON.

    An ONNX file needs no torch. A torch module (a folder from `zapdeploy train`, or
    "package.module:factory", whose code is imported and run) is quantized with Brevitas.

    Args:
        model: A float ONNX file, a forecaster's folder, or "package.module:factory".
        output: The quantized ONNX file.
        weights: Bits of the weights, 8, 4 or 2; "mixed" chooses them layer by layer within
            `min_snr` or, of torch modules, for a target within `max_energy` or `max_latency`.
        activations: Bits of the activations, 8 or 4.
        calibration: Float inputs [count, ...] by the model's input names, or the .npz file of
            them. Folders from training bring their own; an ONNX file without any is calibrated on
            random inputs, and the record says so.
        activation_scales: "per tensor" (the default for ONNX files), "per neuron" or "auto" (the
            default for torch modules).
        keep_first_last: Bits that the first and the last layer keep at least; 8 by default.
        form: How the file expresses it: "qdq", "qoperator", "qcdq" or "packed".
        qat: Steps to train the quantized torch module for; an interrupted training goes on.
        checkpoint: A factory's weights (.safetensors, or a .pt state_dict).
        powers_of_two: Scales that are powers of two (torch modules only).
        percentile: Ranges by percentile, not by squared error (torch modules only).
        rounding: Weights by "nearest", "gptq" or, of torch modules, "gpfq". Below 8 bits and with
            calibration inputs GPTQ is the default.
        shapes: Lengths of open dimensions, and inputs that are always the same (ONNX files only).
        target: The chip that "mixed" chooses bits for.
        min_snr: Least signal-to-noise ratio of the outputs in dB, for "mixed". An ONNX file below 8
            bits that has calibration inputs keeps 8 bits in as many layers as 25 dB need, or 1 dB
            less than 8 bits everywhere reach; 0 asks for the same bits everywhere.
        metric: "package.module:function", called with outputs and inputs, both arrays by name; it
            returns how well a task is done, of the float and of the quantized file (ONNX only).
        host: Nodes that the host runs in float, before or after the chip's part, with what they
            wait for or what waits for them (ONNX only; see docs/host.md). The file written holds
            the chip's part, and the host's in its metadata. Without any, a front goes to the host
            where 8 bits cost the network its function and keep it without that front; ("none",)
            leaves all to the chip.
        max_energy: Most joules per frame, for "mixed".
        max_latency: Most seconds per frame, for "mixed".
        activity: Energies of "mixed" by the bits of some calibration inputs, not of random data.
        seed: Of random inputs, and of training.
        progress: Called with what is done, how far, of how much.

    Returns:
        How it was done, and what came of it.

    Raises:
        ModelError: The network cannot be read or quantized.
        DataError: The calibration inputs are not what it takes.
        UsageError: The arguments contradict each other, or torch or Brevitas is missing.
    """
    if weights not in _WEIGHTS:
        raise UsageError(f"--weights must be 8, 4, 2 or mixed, not {weights!r}; choose one of them")
    if weights == "mixed" and keep_first_last is not None:
        raise UsageError(
            "--keep-first-last must go with --weights 8, 4 or 2, not mixed, which chooses the bits "
            "of every layer; leave it out"
        )
    bits = None if weights == "mixed" else int(weights)
    edges = 8 if keep_first_last is None else keep_first_last
    given = load_arrays(Path(calibration)) if isinstance(calibration, str | Path) else calibration
    exported = _exported(str(model))
    if exported is not None:
        given = given or _own_calibration(Path(model))
        if activation_scales is None and not _is_video(model):
            activation_scales = "auto"
    if is_onnx(str(model)) or exported is not None:
        torch_only = (qat, checkpoint, max_energy, max_latency)
        if any(v is not None for v in torch_only) or powers_of_two or percentile or activity:
            raise UsageError(
                "model must be a torch module for --qat, --checkpoint, --powers-of-two, "
                "--percentile, --max-energy, --max-latency and --activity, not an ONNX file, nor "
                "a forecaster that is quantized as one; give a folder of another forecaster or "
                "package.module:factory"
            )
        way = _way(bits, activations, edges, given, activation_scales, form, rounding, min_snr)
        way |= {
            "form": form,
            "calibration": given,
            "activation_scales": activation_scales or "per tensor",
            "metric": None if metric is None else load_function(metric, "--metric"),
            "shapes": shapes,
            "seed": seed,
            "progress": progress,
        }
        source = Path(exported or model)
        if host and tuple(host) != ("none",):
            record = _beside_host(source, Path(output), host, way)
        else:
            record = quantize_onnx(source, output, **way)
            if bits == activations == 8 and given and record.fidelity.lost and not host:
                record = _with_front_on_host(record, source, Path(output), way)
        record = replace(record, refusal=_refusal(Path(output)))
        with atomic_write(Path(output).with_suffix(".json")) as file:
            file.write(record.to_json().encode())
        return record
    from zapdeploy.commands.quantize_module import ModuleJob, quantize_job

    if host:
        raise UsageError("--host must go with an ONNX file, not a torch module; leave it out")
    if metric is not None:
        raise UsageError("--metric must go with an ONNX file, not a torch module; leave it out")

    job = ModuleJob(
        model=str(model),
        output=Path(output),
        weights=bits,
        activations=activations,
        keep_first_last=edges,
        activation_scales=activation_scales or "auto",
        form=form,
        training_steps=qat,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        powers_of_two=powers_of_two,
        percentile=percentile,
        rounding=rounding,
        target=target,
        min_snr_db=min_snr,
        max_energy_j=max_energy,
        max_latency_s=max_latency,
        by_values=activity,
        seed=seed,
    )
    return quantize_job(job, given or _own_calibration(Path(model)), progress)


def _way(
    bits: int | None,
    activations: int,
    edges: int,
    calibration: Arrays | None,
    scales: ActivationScales | None,
    form: Form | None,
    rounding: Rounding | None,
    min_snr: float | None,
) -> dict[str, Any]:
    """How bits and codes of an ONNX file are chosen. Raises UsageError where options contradict.

    Below 8 bits, and where there are inputs to judge by, layers keep 8 bits as far as the outputs
    need it; a signal-to-noise ratio of 0 asks for the same bits everywhere.
    """
    mixed = bits is None
    narrow = mixed or min(bits or 8, activations) < 8
    if rounding == "gpfq":
        raise UsageError("--rounding must be nearest or gptq for an ONNX file, not gpfq")
    if mixed and (calibration is None or min_snr == 0):
        raise UsageError(
            "--weights mixed must have --calibration X.npz, to measure noise on, and --min-snr DB "
            "above 0; give both"
        )
    free = calibration is not None and scales in (None, "per tensor") and rounding != "nearest"
    if min_snr is None and narrow and free and form != "qoperator":
        min_snr = MIN_SNR_DB
    return {
        "weights": 2 if bits is None else bits,
        "activations": 4 if mixed else activations,
        "keep_first_last": 4 if mixed else edges,
        "rounding": rounding or ("nearest" if calibration is None else "gptq"),
        "refine": free,
        "min_snr_db": min_snr or None,
    }


def _beside_host(
    source: Path, output: Path, nodes: Sequence[str], way: dict[str, Any]
) -> QuantizeRecord:
    """Quantize what is left to the chip; the host's part runs before the calibration."""
    from zapdeploy.commands.on_host import chip_calibration, settled, split_for_host

    shapes = way["shapes"] or InputShapes()
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, source.name)
        host = split_for_host(source, nodes, part, shapes)
        given = chip_calibration(host, way["calibration"])
        record = quantize_onnx(
            part, output, **{**way, "calibration": given, "shapes": settled(shapes)}
        )
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return replace(record, source_sha256=digest, host=host.nodes)


def _with_front_on_host(
    lost: QuantizeRecord, source: Path, output: Path, way: dict[str, Any]
) -> QuantizeRecord:
    """The same with the smallest front on the host that gives the network its function back.

    As it is where none does.
    """
    from zapdeploy.simplify.host_split import fronts

    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder, output.name)
        for node in fronts(source, _FRONTS):
            try:
                record = _beside_host(source, tried, (f"..{node}",), way)
            except ZapdeployError:  # it cannot be cut, or quantized, there
                continue
            if not record.fidelity.lost:
                with atomic_write(output) as file:
                    file.write(tried.read_bytes())
                before, after = (min(r.fidelity.snr_db.values()) for r in (lost, record))
                said = (
                    f"8 bits ruin what leads to '{node}' ({before:.1f} dB at the output): it is "
                    f"left to the host ({after:.1f} dB); --host none keeps it on the chip"
                )
                return replace(record, notes=(*record.notes, said))
    return lost


def _refusal(written: Path) -> str:
    """Why compile would refuse the file; empty where it would not."""
    from zapdeploy.compile import checking
    from zapdeploy.simplify import InputShapes

    judged = checking.check_model(written, shapes=InputShapes())
    return "" if judged.imported is not None else judged.refusal


def is_onnx(model: str) -> bool:
    """Whether this names an ONNX file, not a folder or a factory."""
    path = Path(model)
    return path.is_file() or path.suffix == ".onnx" or (":" not in model and not path.is_dir())


def _exported(model: str) -> Path | None:
    """The float ONNX file beside the weights of a folder whose forecaster is quantized as ONNX.

    None of anything else.
    """
    if is_onnx(model) or not Path(model).is_dir():
        return None
    from zapdeploy.forecasters.export import export_model
    from zapdeploy.forecasters.folder import trained_spec
    from zapdeploy.forecasters.registry import FAMILIES
    from zapdeploy.forecasters.video import export_video, is_video_folder

    if is_video_folder(Path(model)):
        return export_video(Path(model), Path(model) / "float.onnx")
    spec = trained_spec(model)
    if spec is None or not FAMILIES[spec.info.family].onnx_only:
        return None
    return export_model(spec.name, Path(model) / "float.onnx", checkpoint=model)


def _is_video(model: str | Path) -> bool:
    """Whether a folder's forecaster reads volumes, whose voxels share their scales."""
    from zapdeploy.forecasters.video import is_video_folder

    return is_video_folder(Path(model))


def _own_calibration(folder: Path) -> Arrays:
    """The windows that training left in a forecaster's folder. Raises UsageError without any."""
    from zapdeploy.forecasters.calibration import CALIBRATION

    path = folder / CALIBRATION
    if not path.is_file():
        raise UsageError("a torch module must have inputs to calibrate on; add --calibration X.npz")
    return load_arrays(path)
