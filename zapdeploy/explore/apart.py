"""Work in a process of its own, whose memory is gone when it is done: making a network of all
neurons takes more than the points of it may.

`python -m zapdeploy.explore.apart` is that process: pickled work comes in, its answer goes out.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from zapdeploy.errors import WorkerError, ZapdeployError

# Of glibc: freed memory stays with the process for its next array. To be given new pages for large
# arrays again and again takes longer than quantizing them.
_KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",  # others than the first have parts of 64 MiB at most
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}
_ATTEMPTS = 3


def apart(work: Callable[..., Any], *given: Any) -> Any:
    """What `work(*given)` returns, or the ZapdeployError that it raises.

    Raises WorkerError where its process ends in another way, or is killed again and again.
    """
    for _ in range(_ATTEMPTS):
        called = subprocess.run(
            [sys.executable, "-m", "zapdeploy.explore.apart"],
            input=pickle.dumps((work, given)),
            capture_output=True,
            env={**os.environ, **_KEEP_MEMORY},
            check=False,
        )
        if called.returncode >= 0:  # else killed: by somebody, or for memory that others held
            break
    if called.returncode != 0:
        said = called.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise WorkerError(
            f"process that makes a network must end by itself, not with status "
            f"{called.returncode}: {said[-1]}; look whether memory suffices"
        )
    answer = pickle.loads(called.stdout)
    if isinstance(answer, ZapdeployError):
        raise answer
    return answer


def _answer() -> None:
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # libraries may print
    work, given = pickle.load(sys.stdin.buffer)
    try:
        answer = work(*given)
    except ZapdeployError as error:
        answer = error
    out.write(pickle.dumps(answer))


if __name__ == "__main__":
    _answer()
