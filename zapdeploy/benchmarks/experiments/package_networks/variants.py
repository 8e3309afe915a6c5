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

from zapdeploy.api import compile_model, simulate
from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.experiments.package_networks.tasks import Answers, Task
from zapdeploy.documents import Document
from zapdeploy.errors import ModelError, ZapdeployError
from zapdeploy.onnxruntime_sessions import Purpose, open_session
from zapdeploy.quantize import quantize_onnx
from zapdeploy.sim.asked import ESTIMATE
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
    shapes = InputShapes(1, task.shapes, task.constants)
    single = _settled(source, folder / f"{task.name}-single.onnx", shapes)
    count = CALIBRATION // 32 if task.state else CALIBRATION
    calibration = run(task, single, task.make(count, 0)[0], Purpose.PLAIN).seen
    inputs, truth = task.make(task.count, 1)
    exact = run(task, single, inputs, Purpose.PLAIN).outputs
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
        try:
            found = exact if path == single else run(task, path, inputs, purpose).outputs
        except ModelError:
            yield Row(task.name, variant, task.answer, len(inputs), 0.0, None, 0.0, {}, None,
                      "ONNX Runtime does not load the file that its quantizer wrote")  # fmt: skip
            continue
        answers = task.said(found, source)
        energy, refused = _energy(path, target) if bits else (None, "")
        yield Row(
            task.name, variant, task.answer, len(inputs), _share(task, answers, said),
            None if truth is None else _share(task, answers, truth), _snr_db(exact, found), bits,
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
            if self.count > min(map(len, calibration.values())):
                return None
            return {
                n: v[self.count - 1] if v.ndim > ranks[n] else v[self.count - 1 : self.count]
                for n, v in calibration.items()
            }

    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in onnx.load(source).graph.input}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        form = QuantFormat.QDQ
        try:
            quantize_static(prepared, path, Reader(), quant_format=form, per_channel=True)
        except ValueError:  # ONNX Runtime 1.32 fails on scales for each channel here
            quantize_static(prepared, path, Reader(), quant_format=form)


@dataclass(frozen=True)
class Ran:
    """The outputs [count, ...] or [count, steps, ...], and every input that was read, one behind
    the other, by name."""

    outputs: Floats
    seen: dict[str, NDArray[Any]]


def run(task: Task, path: Path, inputs: NDArray[Any], purpose: Purpose) -> Ran:
    """One input at a time; where there is a state, its steps with the state handed on."""
    session = open_session(path, purpose)
    named = {entry.name: entry.shape for entry in session.get_inputs()}
    names = [entry.name for entry in session.get_outputs()]
    before, after = task.state or ("", "")
    name = next(n for n in named if n != before)
    found, seen = [], dict[str, list[NDArray[Any]]]({n: [] for n in named})
    for one in inputs:
        steps, state = one if task.state else one[None, None], None
        if task.state:
            state = np.zeros(named[before], np.float32)
        made = []
        for step in steps:
            feeds = {name: step} | ({} if state is None else {before: state})
            for key, value in feeds.items():
                seen[key].append(value)
            values = dict(zip(names, session.run(names, feeds), strict=True))
            made.append(values[names[task.output]])
            state = values[after] if task.state else None
        found.append(np.stack(made) if task.state else made[0])
    apart = task.state or len(found[0]) != 1  # the first dimension is not that of samples
    outputs = np.stack(found) if apart else np.concatenate(found)
    return Ran(outputs, {key: _behind(values, key == before) for key, values in seen.items()})


def _behind(values: list[NDArray[Any]], stacked: bool) -> NDArray[Any]:
    """States lie along a dimension of their own: their first is none of samples."""
    return np.stack(values) if stacked else np.concatenate(values)


def _share(task: Task, answers: Answers, wanted: Answers) -> float:
    return float(np.mean([task.same(a, b) for a, b in zip(answers, wanted, strict=True)]))


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
