"""Random graphs through compiler, cores and schedule, beside exact arithmetic and ONNX Runtime.

`python -m tests.fuzz.graphs --count 20000 --seed 1 --resume graphs.json`; `--only SEED` tries one
graph again, with `--steps 0,3` some of its steps, and `--save FOLDER` keeps its file and inputs.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from tests.fuzz.campaign import Finding, arguments, bounded, campaign, words
from tests.fuzz.drawing import NotDrawnError
from tests.fuzz.judging import Drawn, drawn, judge

_PARTICULARS = re.compile(r"'[^']*'|-?\d[\d.,e+-]*|\[[^]]*\]")


def attempt(seed: int, only: Sequence[int] | None = None) -> str:
    """The outcome, without names, numbers and shapes."""
    try:
        one = drawn(seed, only)
    except NotDrawnError:
        return "nothing drawn"
    with tempfile.TemporaryDirectory() as folder:
        return re.sub(r"'[^']*'|-?\d[\d.,e+-]*|\[[^]]*\]", "*", judge(one, Path(folder), seed))[
            :160
        ]


def shrunk(seed: int, error: BaseException) -> Finding:
    """Without the steps that the failure does not need."""
    try:
        kept = list(drawn(seed).steps)
    except BaseException:
        return Finding(seed, words(error), "while drawing")
    for step in list(kept):
        fewer = [other for other in kept if other != step]
        if fewer and _fails(seed, fewer, type(error)):
            kept = fewer
    return Finding(seed, words(error), f"--steps {','.join(map(str, kept))}")


def _fails(seed: int, steps: Sequence[int], kind: type[BaseException]) -> bool:
    try:
        with bounded():
            attempt(seed, steps)
    except kind:
        return True
    except BaseException:
        return False
    return False


def _save(one: Drawn, folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{seed}.onnx").write_bytes(one.model.SerializeToString())
    np.savez(folder / f"{seed}.npz", **one.inputs)
    print(onnx.printer.to_text(one.model))


def main() -> int:
    parser = arguments("tests.fuzz.graphs", __doc__)
    parser.add_argument("--only", type=int, metavar="SEED", help="try one graph again")
    parser.add_argument("--steps", help="of that graph, such as 0,3")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep its file and inputs")
    options = parser.parse_args()
    if options.only is None:
        return campaign(options, attempt, shrunk)
    steps = None if options.steps is None else [int(s) for s in options.steps.split(",") if s]
    if options.save is not None:
        _save(drawn(options.only, steps), options.save, options.only)
    print(attempt(options.only, steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
