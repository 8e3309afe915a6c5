"""Ten thousand frames: what a run takes of memory does not grow with them."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import zapdeploy as zd
from tests.benchmarks.chips import small_model
from zapdeploy.commands.run import run_batches
from zapdeploy.sim.batches import in_batches

pytestmark = pytest.mark.slow

FRAMES, EVERY = 10_000, 1_000
WIDTH = 1_024  # of the hidden layer


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def run_frames(folder: Path) -> None:
    """Prints frames done, seconds since the first thousand's begin, resident bytes."""
    program = zd.compile(small_model(folder, width=WIDTH), target="tile64-sim")
    interface = program.interface
    (name,) = interface.inputs
    shape = interface.values[name].shape
    frames = np.random.default_rng(0).normal(size=(FRAMES * shape[0], *shape[1:]))
    given = in_batches(interface, {name: frames.astype(np.float32)})
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if done % EVERY == 0:
            print(done, time.perf_counter() - began, resident_bytes())

    run_batches(program, given, progress)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_is_flat(tmp_path: Path) -> None:
    call = [sys.executable, "-m", __spec__.name, str(tmp_path)]
    lines = subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()
    print(*lines, sep="\n")
    done, _, resident = zip(*(map(float, line.split()) for line in lines), strict=True)
    assert done[-1] == FRAMES - EVERY  # said before each frame
    assert max(resident) <= 1.01 * resident[0]


if __name__ == "__main__":
    run_frames(Path(sys.argv[1]))
