"""Energy by meter: RAPL for CPUs and NVML for GPUs, through Zeus, and only where they answer.

Zeus gives None where it may not read a counter, and does not raise: a meter is believed only after
it has shown joules for a moment of work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Device = Literal["cpu", "gpu"]
PROBE_SECONDS = 0.3
IDLE_SECONDS = 2.0
_WINDOW = "zapdeploy"


@dataclass(frozen=True)
class Reading:
    """Joules inside `boundary`, and in words what counted them."""

    joules: float
    boundary: str
    source: str


class Meter(Protocol):
    """Something that counts joules between two moments."""

    def start(self) -> None: ...

    def stop(self) -> Reading | None:
        """Energy since `start`, or None where the counter gave none."""
        ...


@dataclass(frozen=True)
class MeterSearch:
    """A meter, or why there is none."""

    meter: Meter | None
    reason: str


def find_meter(device: Device, open_monitor: Callable[[Device], Any] | None = None) -> MeterSearch:
    """The energy meter of this machine's CPUs or GPUs, tried out on a moment of work."""
    try:
        monitor = (open_monitor or _zeus_monitor)(device)
    except ModuleNotFoundError:
        return MeterSearch(None, "no energy meter: zeus is not installed")
    except Exception as error:  # Zeus passes on whatever a driver throws
        return MeterSearch(None, f"no energy meter: {str(error).splitlines()[0]}")
    meter = ZeusMeter(monitor, device)
    meter.start()
    _work(PROBE_SECONDS)
    if meter.stop() is None:
        counter = "RAPL counter" if device == "cpu" else "NVML energy counter"
        return MeterSearch(None, f"no energy meter: no {counter} that can be read")
    return MeterSearch(meter, "")


@dataclass(frozen=True)
class ZeusMeter:
    """CPU packages (boundary: chip, memory left out) or GPU cards (boundary: card)."""

    monitor: Any
    device: Device

    def start(self) -> None:
        self.monitor.begin_window(_WINDOW, sync_execution=False)

    def stop(self) -> Reading | None:
        measured = self.monitor.end_window(_WINDOW, sync_execution=False)
        by_index = measured.cpu_energy if self.device == "cpu" else measured.gpu_energy
        joules = sum((by_index or {}).values())
        if not joules > 0:
            return None
        if self.device == "cpu":
            source = "RAPL through Zeus: all cores of the CPU package(s), memory left out"
            return Reading(joules, "chip", source)
        return Reading(joules, "card", "NVML through Zeus: the GPU card, host left out")


def idle_power_w(
    meter: Meter | None, clock: Callable[[], float], wait: Callable[[float], None]
) -> float | None:
    """Watts while nothing runs here, over two seconds; None without a meter."""
    if meter is None:
        return None
    start = clock()
    meter.start()
    wait(IDLE_SECONDS)
    reading, seconds = meter.stop(), clock() - start
    return None if reading is None or seconds <= 0 else reading.joules / seconds


def _zeus_monitor(device: Device) -> Any:
    logging.getLogger("zeus").setLevel(logging.ERROR)
    from zeus.monitor import ZeusMonitor

    if device == "cpu":
        return ZeusMonitor(gpu_indices=[])
    return ZeusMonitor(gpu_indices=[0], cpu_indices=[])  # the one that queries run on


def _work(seconds: float) -> None:
    """Keep one core busy: a counter that stands still is not working."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        sum(range(10_000))
