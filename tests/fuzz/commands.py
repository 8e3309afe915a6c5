"""The command line with whatever may stand behind a verb: right, wrong, absurd, in any number.

`python -m tests.fuzz.commands --count 5000 --seed 1 --resume commands.json`; `--only SEED` makes
one call again. Every call ends with exit status 0, 1 or 2; with 2 there is one printable line and
nothing is left over; with `--json` and 0 there is one JSON document.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument

from tests.fuzz import files
from tests.fuzz.campaign import Finding, arguments, campaign, words
from zapdeploy.cli.app import INTERNAL_ERROR, app
from zapdeploy.cli.app import run as run_cli

TEXTS = (
    *(
        "",
        "-",
        "--",
        "=",
        "0",
        "1",
        "-1",
        "2",
        "4",
        "8",
        "16",
        "1e400",
        "nan",
        "inf",
        "0.5",
        "1,2,3",
    ),
    *("1,,2", "x" * 300, "\x1b[31mred", "../..", "ünï 雪", "x=1,4,8", "x=", "=3", "time,neurons"),
    *("int8", "int4,fp32", "mixed", "cpu", "northpole-sim", "tile64-sim", "loihi2-sim", "gpu,cpu"),
    *(
        "2x2",
        "1x1x1",
        "8:60",
        "10 GB",
        "seconds",
        "a.b:c",
        "none",
        "tcp://",
        "redis://",
        "select 1",
    ),
    *("linear", "tsmixer-c4", "resnet50", "mean", "mean:0", "stimulus", "throughput", "thorough"),
)
# What would take minutes where everything is right is never given what it works on.
LONG = ("bench", "train", "validate", "stream", "explore run", "models export")
NEVER = ("--set-up-lava", "--debug")  # installs; prints tracebacks on purpose
MOST_VALUES = 7


class WrongEndError(Exception):
    """A call that ended in another way than calls may."""


@cache
def verbs() -> dict[str, Any]:
    """Every command that can be called, by its words."""
    return dict(_leaves("", typer.main.get_command(app)))


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name.strip(), command
        return
    for word, one in inner.items():
        yield from _leaves(f"{name} {word}", one)


@cache
def sound_files() -> tuple[Path, ...]:
    """One of each kind that is read."""
    made = (files.onnx, files.in_float, files.program, files.npz, files.npy, files.target)
    return (*map(files.whole, made), files.whole_recording())


def odd_files(folder: Path) -> list[Path]:
    """Empty, of text, of another kind than the name says, a folder, none at all."""
    found = []
    for ending in ("onnx", "zap", "npz", "npy", "toml", "csv", "json", "parquet"):
        (folder / f"empty.{ending}").touch()
        (folder / f"text.{ending}").write_text("one, two\nthree = [\n")
        found += [folder / f"empty.{ending}", folder / f"text.{ending}", folder / f"no.{ending}"]
    (folder / "array.onnx").write_bytes(sound_files()[4].read_bytes())
    (folder / "empty").mkdir()
    return [*found, folder / "array.onnx", folder / "empty", folder / "no" / "where.zap"]


def drawn(pick: Callable[[int], int], folder: Path, out: Path) -> list[str]:
    """A call. pick: a number below the one given."""

    def choose(values: Any) -> Any:
        return values[pick(len(values))]

    name = choose(sorted(verbs()))
    odd = [str(path) for path in odd_files(folder)]
    sound = [] if name in LONG else [str(path) for path in sound_files()]

    def value(parameter: Any) -> str:
        kind = pick(8)
        if "output" in str(parameter.name) or parameter.name in ("outputs", "plot", "trace"):
            return str(out / choose(("x", "x.onnx", "x.zap", "x.npz", "x.html", "x.json", "a/b")))
        meant = [word for word in (parameter.metavar or "").split("|") if word.islower()]
        meant = [word for word in meant if word not in ("synthetic", "zapbench")]  # gigabytes
        if meant and kind < 5:
            return str(choose(meant))
        if parameter.type_descriptor.annotation in (int, float) and kind < 5:
            return str(pick(5))
        if kind < 4 and sound:
            return str(choose(sound))
        return str(choose(odd if kind < 6 else TEXTS))

    call = name.split()
    given = [p for p in verbs()[name].params if not set(p.opts) & set(NEVER)]
    needed = [p for p in given if p.required and pick(8)]
    others = [p for p in given if not p.required]
    more = [choose(others) for _ in range(pick(MOST_VALUES))] if others else []
    for parameter in (*needed, *more):
        call += _words(parameter, value)
    if name in LONG:  # a wrong option at the end, in case all else was right
        call.append("--no-such-option")
    return call


def _words(parameter: Any, value: Callable[[Any], str]) -> list[str]:
    if isinstance(parameter, TyperArgument):
        return [value(parameter)]
    if getattr(parameter, "is_flag", False):
        return [parameter.opts[0]]
    return [parameter.opts[-1], value(parameter)]


def judge(pick: Callable[[int], int]) -> str:
    """The verb of a call and how it ended; raises WrongEndError."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "in", Path(scratch) / "out"
        folder.mkdir()
        out.mkdir()
        call = drawn(pick, folder, out)
        quiet, printed = files._quiet()
        with quiet, contextlib.chdir(out):  # some verbs write beside where they are called
            said = sys.stdout
            status = run_cli(call)
        text = printed.getvalue()
        left = sorted(path.name for path in out.iterdir())
        shutil.rmtree(out)
    fault = _fault(call, status, text, said.getvalue(), left)  # type: ignore[attr-defined]
    if fault:
        shown = " ".join(word.replace(scratch, "") for word in call)
        raise WrongEndError(f"{shown}: {fault}".replace(scratch, ""))
    return f"{status} {call[0]}"


def _fault(call: list[str], status: int, text: str, said: str, left: list[str]) -> str:
    """What is wrong with how a call ended; empty: nothing is."""
    if status == INTERNAL_ERROR or status not in (0, 1, 2):
        return f"exit status {status}: {text}"
    lines = [line for line in text.splitlines() if not line.startswith("working (")]
    last = lines[-1] if lines else ""
    if status == 2 and not (last.startswith("zapdeploy: ") and last.isprintable()):
        return f"not one printable line: {text!r}"
    if "Traceback" in text:
        return text
    if any(name.startswith(".") for name in left) or (status == 2 and left):
        return f"left over: {', '.join(left)}"
    if status == 0 and "--json" in call and not {"-h", "--help"} & set(call):
        try:
            json.loads(said)
        except ValueError as error:
            return f"not JSON ({error}): {said[:200]!r}"
    return ""


def attempt(seed: int) -> str:
    return judge(random.Random(seed).randrange)


def main() -> int:
    parser = arguments("tests.fuzz.commands", __doc__)
    parser.add_argument("--only", type=int, metavar="SEED", help="make one call again")
    options = parser.parse_args()
    if options.only is not None:
        print(attempt(options.only))
        return 0
    return campaign(options, attempt, lambda seed, error: Finding(seed, words(error)), 60.0)


if __name__ == "__main__":
    sys.exit(main())
