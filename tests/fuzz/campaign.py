"""A run over many seeds: resumable at any moment, each item within bounds of time and memory.

FILE holds how far a run came, how often each outcome was seen, and what failed. A seed that ends
the process itself is found by the next call.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zapdeploy.files import atomic_write

MOST_SECONDS = 10.0
MOST_BYTES = 1 << 30
WARMING = (-1, -2)


class TooLongError(BaseException):
    """No `except Exception` of the code under test may swallow it."""


@dataclass(frozen=True)
class Finding:
    """A seed that failed: how, and as little of it as still fails, in the tool's own words."""

    seed: int
    error: str
    shrunk: str = ""


@dataclass
class State:
    done: int = 0
    running: int | None = None  # the seed that was tried when the state was written
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path | None) -> State:
        if path is None or not path.exists():
            return cls()
        raw: dict[str, Any] = json.loads(path.read_text())
        found = [Finding(**finding) for finding in raw["findings"]]
        return cls(raw["done"], raw["running"], Counter(raw["outcomes"]), found)

    def write(self, path: Path | None) -> None:
        if path is not None:
            with atomic_write(path) as file:
                found = [asdict(finding) for finding in self.findings]
                document = {**vars(self), "outcomes": dict(self.outcomes), "findings": found}
                file.write(json.dumps(document, indent=1).encode())


@contextmanager
def bounded(seconds: float = MOST_SECONDS, more_bytes: int = MOST_BYTES) -> Iterator[None]:
    """TooLongError after `seconds`; MemoryError for more than `more_bytes` beside what is held."""

    def stop(number: int, frame: object) -> None:
        raise TooLongError(f"took over {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + more_bytes, hard))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def arguments(program: str, description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--count", type=int, default=100, help="how many in all")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--resume", type=Path, help="where the run keeps how far it came")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after so long")
    return parser


def campaign(
    options: argparse.Namespace,
    attempt: Callable[[int], str],
    found: Callable[[int, BaseException], Finding],
    seconds: float = MOST_SECONDS,
) -> int:
    """Try every seed; print what fails as it is found. 1 when anything failed, now or before.

    `attempt` names the outcome, or raises; `found` shrinks what raised.
    """
    for seed in WARMING:  # what is imported, compiled and cached once is not counted
        with suppress(Exception):
            attempt(seed)
    state, started = State.read(options.resume), time.monotonic()
    if state.running is not None and state.running >= options.seed + state.done:
        state.findings.append(Finding(state.running, "ended the process"))
        state.done += 1
    while state.done < options.count and time.monotonic() - started < options.seconds:
        seed = options.seed + state.done
        state.running = seed
        state.write(options.resume)
        try:
            with bounded(seconds):
                outcome = attempt(seed)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = "failed"
            finding = found(seed, error)
            state.findings.append(finding)
            print(f"seed {seed}: {finding.error} {finding.shrunk}", flush=True)
        state.outcomes[outcome] += 1
        state.done, state.running = state.done + 1, None
        state.write(options.resume) if state.done % 50 == 0 else None
    state.running = None
    state.write(options.resume)
    for outcome, count in state.outcomes.most_common():
        print(f"{count:8,} {outcome}")
    print(f"{state.done:,} of {options.count:,} tried, {len(state.findings)} failed")
    return 1 if state.findings else 0


def words(error: BaseException) -> str:
    """An error in a line that stays the same while what caused it is made smaller."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:400]
