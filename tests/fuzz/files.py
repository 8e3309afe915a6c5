"""Damaged files of every kind that is read: one line, exit status 2, nothing left over.

`python -m tests.fuzz.files --count 100000 --seed 1 --resume files.json`; `--kinds onnx,zap` of
these alone; `--only SEED --edits 3,7 --save FOLDER` makes one damaged file again and keeps it.
"""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.compile.frontend.dialects import QonnxWriter, Style, Writer, perceptron, residual_network
from tests.compile.frontend.onnx_files import OnnxFile
from tests.fuzz import damage
from tests.fuzz.campaign import Finding, arguments, bounded, campaign, words
from tests.recordings import formats
from zapdeploy.cli.app import INTERNAL_ERROR
from zapdeploy.cli.app import run as run_cli

MOST_CHARACTERS = 1100
Calls = Callable[[Path, Path], tuple[list[str], ...]]  # of a file and a folder for what is written


class NotRefusedError(Exception):
    """A damaged file ended in something else than one line, or left something over."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: a whole one is made in a folder, and the calls that would read it.

    `inside`: the file to damage where the sound one is a folder. `share`: how often it is drawn.
    """

    make: Callable[[Path], Path]
    edit: damage.Edit
    calls: Calls
    share: int = 10
    inside: str = ""


def _checked(file: Path, out: Path) -> tuple[list[str], ...]:
    shape = ["--batch", "2"]
    return (
        ["check", str(file)],
        ["compile", str(file), "-o", str(out / "out.zap")],
        ["compile", str(file), *shape, "--target", "tile64-sim", "-o", str(out / "out.zap")],
    )


def _quantized(file: Path, out: Path) -> tuple[list[str], ...]:
    return (["quantize", str(file), "-o", str(out / "out.onnx")], ["check", str(file)])


def _simulated(file: Path, out: Path) -> tuple[list[str], ...]:
    inputs = str(whole_inputs())
    return (
        ["simulate", str(file), "--level", "bound"],
        ["simulate", str(file), "--level", "timing", "--json"],
        ["simulate", str(file), "--inputs", inputs, "--outputs", str(out / "out.npz")],
    )


def _inputs(file: Path, out: Path) -> tuple[list[str], ...]:
    written = ["--outputs", str(out / "out.npz"), "--level", "functional"]
    return (["simulate", str(whole_program()), "--inputs", str(file), *written],)


def _calibration(file: Path, out: Path) -> tuple[list[str], ...]:
    written = str(out / "out.onnx")
    return (["quantize", str(whole_float()), "--calibration", str(file), "-o", written],)


def _target(file: Path, out: Path) -> tuple[list[str], ...]:
    return (
        ["targets", "check", str(file)],
        ["compile", str(whole_model()), "--target", str(file), "-o", str(out / "out.zap")],
    )


def _shown(file: Path, out: Path) -> tuple[list[str], ...]:
    return (["data", "show", str(file), "--frame-rate", "10"],)


def _table(file: Path, out: Path) -> tuple[list[str], ...]:
    return (["data", "show", str(whole_recording()), "--conditions", str(file)],)


def _results(file: Path, out: Path) -> tuple[list[str], ...]:
    return (
        ["report", str(file), "-o", str(out / "out.html")],
        ["compare", str(file), str(whole_results())],
        ["compare", str(file), "--json"],
    )


def _weights(file: Path, out: Path) -> tuple[list[str], ...]:
    model = ["models", "export", "linear-c4", "--neurons", "3", "--checkpoint", str(file)]
    return ([*model, "-o", str(out / "out.onnx")],)


def _forecaster(file: Path, out: Path) -> tuple[list[str], ...]:
    return (
        ["quantize", str(file), "-o", str(out / "out.onnx")],
        ["evaluate", str(file), "--data", str(whole_recording()), "--windows", "2"],
    )


def onnx(folder: Path) -> Path:
    return residual_network(Writer(), Style(zero=2))[0].save(folder / "sound.onnx")


def qonnx(folder: Path) -> Path:
    return perceptron(QonnxWriter(), Style(4, 4))[0].save(folder / "sound.onnx")


def of_operators(folder: Path) -> Path:
    """Movement, reduction, selection, indices: what reads shapes and attributes."""
    file = OnnxFile()
    half, zero = file.constant(np.float32(0.5)), file.constant(np.int8(0))
    codes = file.node("QuantizeLinear", [file.input("x", (2, 6, 4, 4)), half, zero])
    x = file.node("DequantizeLinear", [codes, half, zero])
    x = file.node("Pad", [x, file.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))], mode="constant")
    x = file.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 1], ceil_mode=1)
    x = file.node("Transpose", [x], perm=[0, 2, 1, 3])
    x = file.node("Gather", [x, file.constant(np.array([0, -1]))], axis=1)
    x = file.node("Slice", [x, *(file.constant(np.array([n])) for n in (0, 5, 2, 2))])
    x = file.node("ReduceSum", [x, file.constant(np.array([3]))], keepdims=0)
    x = file.node("Clip", [x, file.constant(np.float32(0))])
    y = file.node("Softmax", [x], axis=-1)
    top = file.node("TopK", [y, file.constant(np.array([2]))], outputs=["top", "places"])
    file.output(file.node("Concat", [top, x], axis=-1))
    return file.save(folder / "sound.onnx")


def in_float(folder: Path) -> Path:
    """A network without quantizers, for `quantize`."""
    file, rng = OnnxFile(opset=17), np.random.default_rng(2)
    x = file.input("x", (2, 3, 6, 6))
    w = file.constant(rng.normal(size=(4, 3, 3, 3)).astype(np.float32))
    x = file.node("Relu", [file.node("Conv", [x, w], pads=[1, 1, 1, 1])])
    x = file.node("Flatten", [file.node("GlobalAveragePool", [x])])
    file.output(file.node("Gemm", [x, file.constant(rng.normal(size=(4, 2)).astype(np.float32))]))
    return file.save(folder / "sound.onnx")


def of_any_batch(folder: Path) -> Path:
    """A network as `bench` takes it: in float, its first dimension open."""
    file = OnnxFile(opset=17)
    w = file.constant(np.random.default_rng(3).normal(size=(4, 4)).astype(np.float32))
    file.output(file.node("MatMul", [file.input("x", ("N", 4)), w]))
    return file.save(folder / "net.onnx")


def program(folder: Path) -> Path:
    """Two layers on the smaller chip: quickly read, as most of 100,000 files have to be."""
    model, path = perceptron(Writer(), Style(zero=2))[0].save(folder / "m.onnx"), folder / "s.zap"
    assert run_cli(["compile", str(model), "--target", "tile64-sim", "-o", str(path)]) == 0
    return path


def program_of_chips(folder: Path) -> Path:
    model, path = perceptron(Writer(), Style(zero=2))[0].save(folder / "m.onnx"), folder / "s.zap"
    more = ["--target", "tile64-sim", "--chips", "2", "-o", str(path)]
    assert run_cli(["compile", str(model), *more]) == 0
    return path


def npz(folder: Path) -> Path:
    np.savez(folder / "sound.npz", x=np.ones((4, 12), np.float32))
    return folder / "sound.npz"


def samples(folder: Path) -> Path:
    x = np.random.default_rng(1).normal(size=(4, 3, 6, 6)).astype(np.float32)
    np.savez_compressed(folder / "sound.npz", x=x)
    return folder / "sound.npz"


def npy(folder: Path) -> Path:
    np.save(folder / "sound.npy", np.ones((4, 12), np.float32))
    return folder / "sound.npy"


def target(folder: Path) -> Path:
    """A whole chip, so that every key is met."""
    from zapdeploy.hardware_targets import target_text

    path = folder / "sound.toml"
    path.write_text(target_text("tile64-sim")[1].replace('name = "tile64-sim"', 'name = "own"'))
    return path


_SMALL_TARGET = """schema = 2
name = "own"
summary = "half the rows"
extends = "northpole-sim"

[array]
rows = { is = "8", kind = "assumed", error = "10 %", why = "half of it" }
"""


def small_target(folder: Path) -> Path:
    path = folder / "sound.toml"
    path.write_text(_SMALL_TARGET)
    return path


def conditions(folder: Path) -> Path:
    path = folder / "sound.csv"
    path.write_text(
        "name,start,stop,held_out\ngain,0,80,false\ndots,80,170,false\ntaxis,170,290,true\n"
    )
    return path


def results(folder: Path) -> Path:
    """Of one network on a chip; rows, details, and a precision that was not run."""
    out = folder / "results"
    call = ["bench", "--models", str(of_any_batch(folder)), "--targets", "tile64-sim"]
    assert run_cli([*call, "--precisions", "fp32,int8", "-o", str(out)]) in (0, 1)
    return out


def weights(suffix: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        import torch
        from safetensors.torch import save_file

        from zapdeploy.forecasters.build import build_model

        state = build_model("linear-c4", neurons=3).state_dict()
        path = folder / f"sound.{suffix}"
        torch.save(dict(state), path) if suffix == "pt" else save_file(dict(state), path)
        return path

    return made


def forecaster(folder: Path) -> Path:
    out = folder / "trained"
    call = ["train", "linear-c4", "--data", str(whole_recording()), "--steps", "2", "-o", str(out)]
    assert run_cli(call) == 0
    return out


def recording(write: formats.Write, frames: int = 300) -> Callable[[Path], Path]:
    return lambda folder: write(folder, formats.activity(frames, 3))


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="zapdeploy-fuzz-"))


@cache
def whole(make: Callable[[Path], Path]) -> Path:
    """A sound file, made once."""
    folder = Path(tempfile.mkdtemp(dir=_scratch()))
    with _quiet()[0]:
        return make(folder)


def whole_model() -> Path:
    return whole(onnx)


def whole_float() -> Path:
    return whole(in_float)


def whole_program() -> Path:
    return whole(program)


def whole_inputs() -> Path:
    return whole(npz)


def whole_results() -> Path:
    return whole(results)


def whole_recording() -> Path:
    return whole(_npy_recording)


def _npy_recording(folder: Path) -> Path:
    return formats.write_csv(folder, formats.activity(300, 3))


_zip = damage.of_members(damage.of_npy)
KINDS: dict[str, Kind] = {
    "onnx": Kind(onnx, damage.of_onnx, _checked, 30),
    "onnx of operators": Kind(of_operators, damage.of_onnx, _checked, 30),
    "qonnx": Kind(qonnx, damage.of_onnx, _checked, 20),
    "float onnx": Kind(in_float, damage.of_onnx, _quantized, 10),
    "zap": Kind(program, damage.of_program, _simulated, 30),
    "zap of chips": Kind(program_of_chips, damage.of_bytes, _simulated, 10),
    "npz": Kind(npz, _zip, _inputs, 30),
    "calibration": Kind(samples, _zip, _calibration, 5),
    "npy": Kind(npy, damage.of_npy, _inputs, 20),
    "toml": Kind(target, damage.of_text, _target, 30),
    "toml that extends": Kind(small_target, damage.of_text, _target, 10),
    "conditions": Kind(conditions, damage.of_text, _table, 10),
    "rows": Kind(results, damage.of_json, _results, 10, "rows.jsonl"),
    "settings": Kind(results, damage.of_json, _results, 10, "benchmark.json"),
    "details": Kind(results, damage.of_json, _results, 10, "details/*.json"),
    "pt": Kind(weights("pt"), damage.of_members(damage.of_bytes), _weights, 10),
    "safetensors": Kind(weights("safetensors"), damage.of_safetensors, _weights, 10),
    "forecaster": Kind(forecaster, damage.of_json, _forecaster, 5, "forecaster.json"),
    "recording csv": Kind(recording(formats.write_csv), damage.of_text, _shown, 10),
    "recording npy": Kind(recording(formats.write_npy), damage.of_npy, _shown, 10),
    "recording npz": Kind(recording(formats.write_npz), _zip, _shown, 10),
    "recording parquet": Kind(recording(formats.write_parquet), damage.of_bytes, _shown, 5),
    "recording hdf5": Kind(recording(formats.write_hdf5), damage.of_bytes, _shown, 5),
    "recording mat": Kind(recording(formats.write_mat), damage.of_bytes, _shown, 5),
    "recording zarr": Kind(recording(formats.write_zarr3), damage.of_json, _shown, 5, "zarr.json"),
    "recording suite2p": Kind(recording(formats.write_suite2p), damage.of_npy, _shown, 5, "F.npy"),
    "recording nwb": Kind(recording(formats.write_nwb), damage.of_bytes, _shown, 2),
}
_SHARES = [name for name, kind in KINDS.items() for _ in range(kind.share)]


def fault_of(call: list[str], out: Path) -> str:
    """What is wrong with how the call ended; empty: nothing is."""
    quiet, printed = _quiet()
    with quiet:
        status = run_cli(call)
    text = printed.getvalue()
    left = sorted(path.name for path in out.iterdir())
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if status == INTERNAL_ERROR:
        return text.strip() or "nothing was printed"
    if status not in (0, 1, 2):
        return f"exit status {status}"
    if "memory must suffice" in text:
        return "took over the memory that it may"
    if status == 2 and (text.count("\n") != 1 or not text[:-1].isprintable()):
        return f"not one printable line: {text!r}"
    if len(text) > MOST_CHARACTERS and status == 2:
        return f"a line of {len(text)} characters"
    if any(name.startswith(".") for name in left) or (status == 2 and left):
        return f"left over: {', '.join(left)}"
    return ""


def _quiet() -> tuple[contextlib.ExitStack, io.StringIO]:
    """A block in which what is printed is kept, and warnings are none."""
    printed, stack = io.StringIO(), contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stderr(printed))
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    return stack, printed


def chosen(seed: int, kinds: Sequence[str] = ()) -> tuple[str, list[int]]:
    """The kind and the numbers of the changes of a seed."""
    chance = random.Random(seed)
    name = chance.choice([k for k in _SHARES if not kinds or k in kinds])
    return name, [chance.randrange(10**6) for _ in range(chance.choice((1, 1, 1, 2, 3, 6)))]


@contextlib.contextmanager
def damaged_file(name: str, edits: list[int]):  # type: ignore[no-untyped-def]
    """The damaged file, or the folder that it lies in."""
    kind = KINDS[name]
    sound = whole(kind.make)
    with tempfile.TemporaryDirectory(dir=_scratch()) as scratch:
        path = Path(scratch) / "in" / sound.name
        path.parent.mkdir()
        (Path(scratch) / "out").mkdir()
        if sound.is_dir():
            shutil.copytree(sound, path)
        inner = next(iter(sorted(path.rglob(kind.inside)))) if kind.inside else path
        content = inner.read_bytes() if kind.inside else sound.read_bytes()
        inner.write_bytes(damage.damaged(content, kind.edit, edits))
        yield path, Path(scratch) / "out"


def attempt(name: str, edits: list[int], seed: int) -> str:
    """The kind of file, read; NotRefusedError for what ended in any other way than it may."""
    with damaged_file(name, edits) as (path, out):
        calls = KINDS[name].calls(path, out)
        fault = fault_of(calls[seed % len(calls)], out)
    if fault:
        raise NotRefusedError(fault.replace(str(path), path.name))
    return name


def shrunk(name: str, edits: list[int], seed: int, error: BaseException) -> Finding:
    """With as few changes as still fail in the same way."""

    def fails(kept: list[int]) -> bool:
        try:
            with bounded():
                attempt(name, kept, seed)
        except BaseException as other:
            return type(other) is type(error)
        return False

    kept = list(edits)
    for edit in edits:
        fewer = [other for other in kept if other != edit]
        if fewer and fails(fewer):
            kept = fewer
    return Finding(seed, words(error), f"{name} --edits {','.join(map(str, kept))}")


def main() -> int:
    parser = arguments("tests.fuzz.files", __doc__)
    parser.add_argument("--kinds", default="", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--only", type=int, metavar="SEED", help="make one damaged file again")
    parser.add_argument("--edits", help="the changes of that file, such as 3,7")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep it")
    options = parser.parse_args()
    kinds = [kind for kind in options.kinds.split(",") if kind]
    try:
        if options.only is None:
            return campaign(
                options,
                lambda seed: attempt(*chosen(seed, kinds), seed),
                lambda seed, error: shrunk(*chosen(seed, kinds), seed, error),
            )
        name, edits = chosen(options.only, kinds)
        edits = edits if options.edits is None else [int(e) for e in options.edits.split(",")]
        with damaged_file(name, edits) as (path, out):
            calls = KINDS[name].calls(path, out)
            call = calls[options.only % len(calls)]
            if options.save is not None:
                shutil.copytree(path.parent, options.save, dirs_exist_ok=True)
            print(name, *call)
            return run_cli([*call, "--debug"])
    finally:
        shutil.rmtree(_scratch())


if __name__ == "__main__":
    sys.exit(main())
