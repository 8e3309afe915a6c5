"""One network in float, by ONNX Runtime's static quantizer, and by ours at 8 and at 4 bits."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from zapdeploy.api import ESTIMATE, compile_model, simulate
from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.experiments.package_networks.tasks import Answers, Task
from zapdeploy.documents import Document
from zapdeploy.errors import ZapdeployError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx
from zapdeploy.quantize.network import Network
from zapdeploy.simplify import InputShapes, lengths_of, simplify

CALIBRATION = 64
VARIANTS = ("float", "onnxruntime int8", "int8", "int4")
MIN_SNR_DB = 25.0


@dataclass(frozen=True)
class Row(Document):
    """What one variant of a network answers, on inputs that no scale or width was chosen on.

    agreement: share of answers as the float network's. right: share of true answers, None where
    these are not known. snr_db: of the first output. bits: layers by bits of weights/activations.
    energy_j: modelled, per frame on the target; None in float, and where `refused` says why.
    """

    network: str
    variant: str
    answer: str
    inputs: int
    agreement: float
    right: float | None
    snr_db: float
    bits: Mapping[str, int]
    energy_j: float | None
    refused: str = ""


def rows(task: Task, source: Path, folder: Path, target: str) -> Iterator[Row]:
    """The variants of one network, in the order of VARIANTS."""
    shapes = InputShapes(1, {} if task.shape is None else {"x": task.shape})
    single = _settled(source, folder / f"{task.name}-single.onnx", shapes)
    name = Network(onnx.load(single)).input_names[0]
    calibration = {name: task.make(CALIBRATION, 0)[0]}
    inputs, truth = task.make(task.count, 1)
    exact = _outputs(single, name, inputs, Purpose.PLAIN)
    said = task.said(exact, source)
    for variant in VARIANTS:
        path, bits, purpose = single, {}, Purpose.PLAIN
        if variant == "onnxruntime int8":
            path, purpose = folder / f"{task.name}-onnxruntime.onnx", Purpose.BASELINE
            by_onnxruntime(single, path, calibration)
        elif variant != "float":
            path = folder / f"{task.name}-{variant}.onnx"
            narrow = 4 if variant == "int4" else 8
            record = quantize_onnx(
                single, path, weights=narrow, activations=narrow, calibration=calibration,
                refine=True, min_snr_db=MIN_SNR_DB if variant == "int4" else None,
            )  # fmt: skip
            bits = dict(Counter(f"{layer.weights}/{layer.inputs}" for layer in record.layers))
        found = exact if path == single else _outputs(path, name, inputs, purpose)
        answers = task.said(found, source)
        energy, refused = _energy(path, target) if bits else (None, "")
        yield Row(
            task.name, variant, task.answer, len(inputs), _share(answers, said),
            None if truth is None else _share(answers, truth), _snr_db(exact, found), bits,
            energy, refused,
        )  # fmt: skip


def _settled(source: Path, path: Path, shapes: InputShapes) -> Path:
    """The float network with all lengths known, as both quantizers get it."""
    model = onnx.load(source)
    found = lengths_of(model.graph, shapes, {})
    onnx.save(simplify(model, found, keep_batch=True).model, path)
    return path


def by_onnxruntime(source: Path, path: Path, calibration: Mapping[str, NDArray[Any]]) -> None:
    """ONNX Runtime's quantize_static as its documentation recommends it: prepared, QDQ, a scale for
    each output channel of the weights, ranges by the least and the greatest value."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.count = 0

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            self.count += 1
            feeds = {n: v[self.count - 1 : self.count] for n, v in calibration.items()}
            return feeds if all(len(v) for v in feeds.values()) else None

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        form = QuantFormat.QDQ
        try:
            quantize_static(prepared, path, Reader(), quant_format=form, per_channel=True)
        except ValueError:  # ONNX Runtime 1.32 fails on scales for each channel here
            quantize_static(prepared, path, Reader(), quant_format=form)


def _outputs(path: Path, name: str, inputs: NDArray[Any], purpose: Purpose) -> Floats:
    session = open_session(path, purpose)
    found = [session.run(None, {name: inputs[i : i + 1]})[0] for i in range(len(inputs))]
    return np.concatenate(found)


def _share(answers: Answers, wanted: Answers) -> float:
    return float(np.mean([a == b for a, b in zip(answers, wanted, strict=True)]))


def _snr_db(exact: Floats, found: Floats) -> float:
    noise = float(np.square(found.astype(np.float64) - exact).sum())
    return float(10 * np.log10(np.square(exact, dtype=np.float64).sum() / max(noise, 1e-30)))


def _energy(path: Path, target: str) -> tuple[float | None, str]:
    """Joules per frame, modelled, or why there are none."""
    try:
        program = compile_model(path, target)
        if not program.fits:
            what = program.violation
            return None, "does not fit" if what is None else f"does not fit: {what.what}"
        return simulate(program, level=ESTIMATE).energy_per_frame.value, ""
    except ZapdeployError as error:
        return None, str(error)
