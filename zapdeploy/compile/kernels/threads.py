"""One kernel call spread over the cores of this machine, where that pays.

A layer takes 0.1 to 0.4 ms on one core, and waking a thread 0.05 to 0.1 ms. So threads that have
helped stay awake for a moment (`SPINS`) and watch for the next call: a network's layers follow each
other at once, and handing a part over then takes about a microsecond.

Nobody waits for a helper that has not begun. The caller opens its call, and everybody who is awake,
the caller first, takes the next few parts of it until none are left; a helper whose core is busy
with something else is simply not there. Where one loses its core in the middle of a part, the next
calls do without. Results do not depend on who computed what.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import count
from threading import Lock

import numpy as np

from zapdeploy.compile.kernels import processor
from zapdeploy.compile.kernels.machine_code import Kernel, kernels
from zapdeploy.platforms import usable_cores

MACS_PER_THREAD = 1_000_000_000  # about 3 ms
MACS_TO_SHARE = 4_000_000  # about 10 to 40 us: less is not worth a second core
MACS_AT_A_TIME = 2_000_000
PARTS_PER_THREAD = 16
SPINS = 8_000  # about 0.2 ms
CALLS_ALONE = 100  # after one that waited for a helper whose core was taken away


_thread_count = usable_cores()


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


def run_parts(kernel: Callable[[int, int], None], parts: int, macs: int) -> None:
    """kernel(start, stop) over all of range(parts), in one stretch per thread.

    For long calls: the threads are woken, and waited for.
    kernel: releases the interpreter lock, and writes to no place that another part writes to
    macs: multiply-accumulates of the whole call, by which it is judged whether threads pay
    """
    threads = min(_thread_count, parts, max(1, macs // MACS_PER_THREAD))
    if threads == 1:
        kernel(0, parts)
        return
    bounds = [parts * part // threads for part in range(threads + 1)]
    pool = _pool(os.getpid(), _thread_count - 1)
    waiting = [pool.submit(kernel, *bounds[part : part + 2]) for part in range(1, threads)]
    kernel(0, bounds[1])
    for future in waiting:
        future.result()


# --- Machine code on threads that stay awake --------------------------------------------------
# A helper says that it is active before it looks whether the call is open, and the caller closes
# the call before it looks whether anybody is active: in sequentially consistent order one of them
# sees the other, so nobody reads the call's fields, or works on its arrays, after `lead` returned.

LINE_BYTES = 64
_TEAM = """
; the number of the open call, or 0; the first part that nobody took; helpers that are active;
; then kernel, arguments, count and step of the call, and how often the leader looked at the end
%team = type { i64, [7 x i64], i64, [7 x i64], i64, [7 x i64], i64, i64, i64, i64, i64 }

define void @take(ptr %team) {  ; parts of the open call until none are left
entry:
  %next = getelementptr %team, ptr %team, i32 0, i32 2
  %kernel.at = getelementptr %team, ptr %team, i32 0, i32 6
  %arguments.at = getelementptr %team, ptr %team, i32 0, i32 7
  %count.at = getelementptr %team, ptr %team, i32 0, i32 8
  %step.at = getelementptr %team, ptr %team, i32 0, i32 9
  %kernel = load ptr, ptr %kernel.at
  %arguments = load i64, ptr %arguments.at
  %count = load i64, ptr %count.at
  %step = load i64, ptr %step.at
  br label %claim
claim:
  %start = atomicrmw add ptr %next, i64 %step seq_cst
  %left = icmp slt i64 %start, %count
  br i1 %left, label %part, label %done
part:
  %end = add i64 %start, %step
  %within = icmp slt i64 %end, %count
  %stop = select i1 %within, i64 %end, i64 %count
  call void %kernel(i64 %arguments, i64 %start, i64 %stop)
  br label %claim
done:
  ret void
}

define void @lead(ptr %team, ptr %kernel, i64 %arguments, i64 %count, i64 %step, i64 %number) {
entry:
  %next = getelementptr %team, ptr %team, i32 0, i32 2
  %active = getelementptr %team, ptr %team, i32 0, i32 4
  %kernel.at = getelementptr %team, ptr %team, i32 0, i32 6
  %arguments.at = getelementptr %team, ptr %team, i32 0, i32 7
  %count.at = getelementptr %team, ptr %team, i32 0, i32 8
  %step.at = getelementptr %team, ptr %team, i32 0, i32 9
  %waited.at = getelementptr %team, ptr %team, i32 0, i32 10
  store ptr %kernel, ptr %kernel.at
  store i64 %arguments, ptr %arguments.at
  store i64 %count, ptr %count.at
  store i64 %step, ptr %step.at
  store atomic i64 0, ptr %next seq_cst, align 8
  store atomic i64 %number, ptr %team seq_cst, align 8
  call void @take(ptr %team)
  store atomic i64 0, ptr %team seq_cst, align 8
  br label %wait
wait:
  %waited = phi i64 [ 0, %entry ], [ %longer, %wait ]
  %longer = add i64 %waited, 1
  %helping = load atomic i64, ptr %active seq_cst, align 8
  %busy = icmp ne i64 %helping, 0
  call void PAUSE
  br i1 %busy, label %wait, label %done
done:
  store i64 %waited, ptr %waited.at
  ret void
}

define void @help(ptr %team, i64 %patience) {  ; until for so many looks there was nothing new
entry:
  %active = getelementptr %team, ptr %team, i32 0, i32 4
  br label %look
look:
  %before = phi i64 [ 0, %entry ], [ %before, %pause ], [ %open, %work ]
  %looks = phi i64 [ 0, %entry ], [ %more, %pause ], [ 0, %work ]
  %open = load atomic i64, ptr %team seq_cst, align 8
  %closed = icmp eq i64 %open, 0
  %known = icmp eq i64 %open, %before
  %idle = or i1 %closed, %known
  br i1 %idle, label %pause, label %join
pause:
  call void PAUSE
  %more = add i64 %looks, 1
  %awake = icmp slt i64 %more, %patience
  br i1 %awake, label %look, label %done
join:
  %others = atomicrmw add ptr %active, i64 1 seq_cst
  %still = load atomic i64, ptr %team seq_cst, align 8
  %gone = icmp eq i64 %still, 0
  br i1 %gone, label %work, label %parts
parts:
  call void @take(ptr %team)
  br label %work
work:
  %left = atomicrmw sub ptr %active, i64 1 seq_cst
  br label %look
done:
  ret void
}
"""


STATE = np.dtype(
    {
        "names": ["open", "next", "active", "kernel", "arguments", "count", "step", "waited"],
        "formats": ["<i8"] * 8,
        "offsets": [0, 64, 128, 192, 200, 208, 216, 224],
        "itemsize": 4 * LINE_BYTES,
    }
)


_PAUSES = {  # how a core rests for a moment: declaration, call
    processor.X86: ("@llvm.x86.sse2.pause()", "@llvm.x86.sse2.pause()"),
    processor.ARM: ("@llvm.aarch64.isb(i32)", "@llvm.aarch64.isb(i32 15)"),
}


def team_code(machine: str) -> str:
    """LLVM IR of the functions above."""
    declared, called = _PAUSES[machine]
    return f"declare void {declared}\n" + _TEAM.replace("PAUSE", called)


class _Team:
    """The threads that help one caller at a time, and the memory through which they meet."""

    def __init__(self, helpers: int) -> None:
        self._lead, self._help = kernels(team_code(processor.machine()), lead=6, help=2)
        memory = np.zeros(STATE.itemsize + LINE_BYTES, np.uint8)
        start = -memory.ctypes.data % LINE_BYTES
        self._state = memory[start : start + STATE.itemsize].view(STATE)
        self._address = self._state.ctypes.data
        self._numbers = count(1)
        self._pool = ThreadPoolExecutor(helpers, thread_name_prefix="kernel")
        self._helping: list[Future[None]] = []
        self._helpers = helpers
        self._calls_alone = 0
        self.free = Lock()

    def run(self, kernel: Kernel, arguments: int, stop: int, step: int) -> None:
        """As `run_kernel`; the caller has taken `free`."""
        if self._calls_alone:
            self._calls_alone -= 1
            kernel(arguments, 0, stop)
            return
        self._helping = [each for each in self._helping if not each.done()]
        for _ in range(self._helpers - len(self._helping)):
            self._helping.append(self._pool.submit(self._help, self._address, SPINS))
        self._lead(self._address, kernel.address, arguments, stop, step, next(self._numbers))
        if self._state["waited"][0] > SPINS:
            self._calls_alone = CALLS_ALONE


@cache
def _team(process: int, helpers: int) -> _Team:
    return _Team(helpers)


def parts_of(macs: int) -> int:
    """Into how many parts a call is best divided: enough that nobody waits long for the last."""
    return 1 + min(macs // MACS_AT_A_TIME, PARTS_PER_THREAD * _thread_count)


def run_kernel(kernel: Kernel, arguments: int, stop: int, step: int, macs: int) -> None:
    """kernel(arguments, ...) over all of range(stop), on one thread or more, `step` at a time.

    kernel: machine code that writes to no place that another part writes to
    macs: multiply-accumulates of the whole call, by which it is judged whether threads pay
    """
    shared = _thread_count > 1 and step < stop and macs >= MACS_TO_SHARE
    team = _team(os.getpid(), _thread_count - 1) if shared else None
    if team is None or not team.free.acquire(blocking=False):
        kernel(arguments, 0, stop)
        return
    try:
        team.run(kernel, arguments, stop, step)
    finally:
        team.free.release()
