"""Damage files at random and read them: `python -m tests.fuzzing --seed 1 --count 1000 -o FOLDER`.

Resumable: FOLDER holds how far it came for each seed, and every file that ended in an internal
error, as it was and with as few changes as keep the error.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.compile.frontend.onnx_files import OnnxFile
from zapdeploy.api import compile_model
from zapdeploy.cli.app import INTERNAL_ERROR
from zapdeploy.cli.app import run as run_cli
from zapdeploy.files import atomic_write

Change = tuple[int, int]  # position, and the byte there; -1: cut the file off
KINDS = ("onnx", "npz", "npy", "zap", "toml")


@dataclass(frozen=True)
class Finding:
    """A damaged file that ended in an internal error, and the last line that it printed."""

    kind: str
    seed: int
    changes: tuple[Change, ...]
    error: str


def sound_files(folder: Path) -> dict[str, Path]:
    """One whole file of every kind that is read, in a folder."""
    file, generator = OnnxFile(), np.random.default_rng(1)
    parameters = [file.constant(np.float32(0.5)), file.constant(np.int8(0))]
    codes = file.node("QuantizeLinear", [file.input("x", (2, 6)), *parameters])
    reals = file.node("DequantizeLinear", [codes, *parameters])
    weights = file.constant(generator.integers(-9, 9, (6, 3)).astype(np.int8))
    product = file.node("MatMul", [reals, file.node("DequantizeLinear", [weights, *parameters])])
    clipped = file.node("Clip", [product, file.constant(np.float32(0))])
    shape = file.constant(np.array([3, 2]))
    file.output(file.node("Reshape", [clipped, shape]))
    paths = {kind: folder / f"sound.{kind}" for kind in KINDS}
    compile_model(file.save(paths["onnx"]), output=paths["zap"])
    np.savez(paths["npz"], x=np.ones((2, 6), np.float32))
    np.save(paths["npy"], np.ones((2, 6), np.float32))
    paths["toml"].write_text('extends = "northpole-sim"\nname = "own"\n[array]\nrows = 4\n')
    return paths


def call_for(kind: str, damaged: Path, sound: dict[str, Path]) -> list[str]:
    """The call that reads a file of this kind."""
    if kind == "onnx":
        return ["compile", str(damaged), "-o", str(damaged.with_name("out.zap"))]
    if kind == "toml":
        return ["targets", "check", str(damaged)]
    if kind == "zap":
        return ["simulate", str(damaged), "--level", "bound"]
    outputs = str(damaged.with_name("out.npz"))
    return ["simulate", str(sound["zap"]), "--inputs", str(damaged), "--outputs", outputs]


def drawn(content: bytes, seed: int) -> tuple[Change, ...]:
    """One to eight changes of single bytes; now and then the end is missing."""
    chance = random.Random(seed)
    changes = [
        (
            chance.randrange(len(content)),
            chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))),
        )
        for _ in range(chance.randint(1, 8))
    ]
    if chance.random() < 0.1:
        changes.append((chance.randrange(len(content)), -1))
    return tuple(changes)


def changed(content: bytes, changes: Sequence[Change]) -> bytes:
    damaged = bytearray(content)
    for position, value in changes:
        if value < 0:
            del damaged[position:]
        elif position < len(damaged):
            damaged[position] = value
    return bytes(damaged)


def fault_of(arguments: list[str]) -> str:
    """What was printed for an internal error, or for more than one line; else nothing."""
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
        status = run_cli(arguments)
    text = printed.getvalue()
    if status == INTERNAL_ERROR or (status == 2 and text.count("\n") != 1):
        return text or "nothing was printed"
    return ""


def shrunk(
    changes: Sequence[Change], fails: Callable[[Sequence[Change]], str]
) -> tuple[Change, ...]:
    """As few of the changes as still fail."""
    kept = list(changes)
    for change in changes:
        fewer = [other for other in kept if other is not change]
        if fewer and fails(fewer):
            kept = fewer
    return tuple(kept)


def fuzz(kind: str, seed: int, sound: dict[str, Path], folder: Path) -> Finding | None:
    """Damage a file of this kind as the seed says, and read it."""
    content, damaged = sound[kind].read_bytes(), folder / f"damaged.{kind}"

    def fails(changes: Sequence[Change]) -> str:
        damaged.write_bytes(changed(content, changes))
        return fault_of(call_for(kind, damaged, sound))

    changes = drawn(content, seed)
    if not fails(changes):
        return None
    changes = shrunk(changes, fails)
    return Finding(kind, seed, changes, fails(changes))


def main() -> int:
    """Go on where the last call stopped; 1 when anything ended in an internal error."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=100, help="files of each kind")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    state = options.output / f"seed-{options.seed}.json"
    done = json.loads(state.read_text())["done"] if state.exists() else 0
    findings = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sound = sound_files(folder)
        for number in range(done, options.count):
            for kind in KINDS:
                found = fuzz(kind, options.seed + number, sound, folder)
                if found is not None:
                    findings += 1
                    name = f"{kind}-{found.seed}"
                    kept = changed(sound[kind].read_bytes(), found.changes)
                    (options.output / f"{name}.{kind}").write_bytes(kept)
                    print(f"{name}: {found.error.strip()} {found.changes}", flush=True)
            with atomic_write(state) as file:
                file.write(json.dumps({"done": number + 1}).encode())
    print(f"{options.count * len(KINDS)} damaged files, {findings} internal errors in this call")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
