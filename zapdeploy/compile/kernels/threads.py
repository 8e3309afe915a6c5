"""One kernel call spread over the cores of this machine, where that pays.

Handing work to another thread takes about 0.1 ms, and several milliseconds where the scheduler
wakes it on the core of the caller, or where its own core is not free. A layer of ResNet-50 takes
0.1 to 0.4 ms on one core: such layers run in the caller's thread, large batches and images on all
cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

MACS_PER_THREAD = 1_000_000_000  # about 3 ms


def _available_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


_thread_count = _available_cores()


def thread_count() -> int:
    """The most threads that one kernel call uses."""
    return _thread_count


def set_thread_count(count: int) -> None:
    """Use at most `count` threads in every later call; results do not depend on it."""
    global _thread_count
    if count < 1:
        raise ValueError(f"thread count must be at least 1, not {count}")
    _thread_count = count


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """The waiting threads; `process` is in the key because a forked child inherits none of them."""
    return ThreadPoolExecutor(workers, thread_name_prefix="kernel")


def run_parts(kernel: Callable[[int, int], None], count: int, macs: int) -> None:
    """kernel(start, stop) over all of range(count), in one part per thread.

    kernel: releases the interpreter lock, and writes to no place that another part writes to
    macs: multiply-accumulates of the whole call, by which it is judged whether threads pay
    """
    threads = min(_thread_count, count, max(1, macs // MACS_PER_THREAD))
    if threads == 1:
        kernel(0, count)
        return
    bounds = [count * part // threads for part in range(threads + 1)]
    pool = _pool(os.getpid(), _thread_count - 1)
    waiting = [pool.submit(kernel, *bounds[part : part + 2]) for part in range(1, threads)]
    kernel(0, bounds[1])
    for future in waiting:
        future.result()
