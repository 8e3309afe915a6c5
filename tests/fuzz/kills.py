"""Commands ended at random moments by SIGKILL, SIGTERM and SIGINT: nothing lost, nothing left over.

`python -m tests.fuzz.kills --count 1000 --seed 1 --resume kills.json`: each moment is one seed; a
fifth of them for each of compile, simulate, quantize, train and bench. Whatever the moment, inputs
are as they were, an output is the old one or the new one, whole, and the same command, given again,
ends well and leaves no temporary file.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz import files
from tests.fuzz.campaign import Finding, arguments, campaign, words
from zapdeploy.cli import app

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOST_SECONDS = 60.0


class NotSafeError(Exception):
    """Something was lost or left over."""


@dataclass(frozen=True)
class Command:
    """A call by the folder that it writes to; `output` is its file there, or a folder."""

    call: Callable[[Path], list[str]]
    output: str
    again: tuple[str, ...] = ()  # what to add when it is given again
    repeats: bool = True  # the same call writes the same bytes


COMMANDS = {
    "compile": Command(
        lambda out: ["compile", str(files.whole_model()), "-o", str(out / "out.zap")], "out.zap"
    ),
    "simulate": Command(
        lambda out: [
            *("simulate", str(files.whole_program()), "--inputs", str(files.whole_inputs())),
            *("--outputs", str(out / "out.npz"), "--trace", str(out / "trace.json")),
        ],
        "out.npz",
    ),
    "quantize": Command(
        lambda out: ["quantize", str(files.whole_float()), "-o", str(out / "out.onnx")],
        "out.onnx",
    ),
    "train": Command(
        lambda out: [
            *("train", "linear-c4", "--data", str(files.whole_recording()), "--steps", "150"),
            *("-o", str(out / "trained")),
        ],
        "trained",
        repeats=False,
    ),
    "bench": Command(
        lambda out: [
            *("bench", "--models", str(files.whole(files.of_any_batch))),
            *("--targets", "tile64-sim"),
            *("--precisions", "int8,int4", "-o", str(out / "results")),
        ],
        "results",
        ("--resume",),
        repeats=False,
    ),
}


def started(call: list[str]) -> int:
    """A process of its own for the call, with all modules there already."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        signal.signal(signal.SIGTERM, app._stop)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = app.run(call)
    except SystemExit as error:
        status = int(error.code or 0)
    finally:
        os._exit(status)


def ended(child: int) -> int:
    """The exit status, or minus the signal. NotSafeError where it hangs."""
    limit = time.monotonic() + MOST_SECONDS
    while time.monotonic() < limit:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise NotSafeError(f"hung for {MOST_SECONDS:g} s")


def warm() -> None:
    """Load and translate here what processes of their own would need anew each time."""
    for name in ("compile", "simulate", "train"):
        with tempfile.TemporaryDirectory(dir=files._scratch()) as folder, files._quiet()[0]:
            app.run(COMMANDS[name].call(Path(folder)))


@cache
def whole_run(name: str) -> tuple[float, bytes]:
    """How long the command takes, and what it writes."""
    command = COMMANDS[name]
    for _ in range(2):  # the second time, what is cached is there
        with tempfile.TemporaryDirectory(dir=files._scratch()) as folder:
            began = time.monotonic()
            status = ended(started(command.call(Path(folder))))
            if status:
                raise NotSafeError(f"{name} by itself ends with {status}")
            took, path = time.monotonic() - began, Path(folder) / command.output
            written = path.read_bytes() if path.is_file() else b""
    return took, written


def attempt(seed: int) -> str:
    """One command ended at one moment; the command and the signal."""
    chance = random.Random(seed)
    name, number = list(COMMANDS)[seed % len(COMMANDS)], chance.choice(SIGNALS)
    command, (took, new) = COMMANDS[name], whole_run(name)
    with tempfile.TemporaryDirectory(dir=files._scratch()) as scratch:
        folder, old = Path(scratch), b"what was there before"
        path = folder / command.output
        if command.repeats:
            path.write_bytes(old)
        before = _inputs()
        child = started(command.call(folder))
        time.sleep(chance.uniform(0, 1.05 * took))
        os.kill(child, number)
        status = ended(child)
        if _inputs() != before:
            raise NotSafeError(f"{name}, {number.name}: an input was changed")
        _check_output(command, path, (old, new), f"{name}, {number.name}")
        _check_left(folder, number, f"{name}, {number.name}")
        again = command.again if path.exists() and any(path.parent.rglob("rows.jsonl")) else ()
        done = ended(started([*command.call(folder), *again]))
        if done:
            raise NotSafeError(f"{name}, {number.name}: given again it ends with {done}")
        _check_output(command, path, (new,), f"{name}, {number.name}, given again")
        _check_left(folder, None, f"{name}, {number.name}, given again")
    return f"{name}, {number.name}, {'ended' if status else 'done before'}"


def _inputs() -> list[bytes]:
    makers = (files.whole_model, files.whole_program, files.whole_float, files.whole_inputs)
    return [make().read_bytes() for make in makers]


def _check_output(command: Command, path: Path, allowed: tuple[bytes, ...], what: str) -> None:
    if command.repeats and (not path.exists() or path.read_bytes() not in allowed):
        raise NotSafeError(f"{what}: the output is neither whole nor what was there")


def _check_left(folder: Path, number: signal.Signals | None, what: str) -> None:
    """Temporary files: none, or such as the next call removes, which is told that they are old."""
    left = [p for p in folder.rglob(".*") if p.is_file() and p.name not in (".lock",)]
    if left and number is not signal.SIGKILL:
        raise NotSafeError(f"{what}: left over: {', '.join(sorted(p.name for p in left))}")
    for path in left:
        os.utime(path, (0, 0))


def main() -> int:
    options = arguments("tests.fuzz.kills", __doc__).parse_args()
    warm()
    for name in COMMANDS:
        print(f"{name}: {whole_run(name)[0]:.2f} s", flush=True)
    return campaign(options, attempt, lambda seed, error: Finding(seed, words(error)), MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
