"""Points of one network, computed where the work is done; what they have in common, once.

A network is imported once for each batch; compilations share Mappers (`compile/mapping/sharing`),
so points that differ in memory sizes, the host or the frame rate cost next to nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zapdeploy.api import compile_network, cut_over_space, simulate, simulate_space
from zapdeploy.arrays import load_arrays
from zapdeploy.compile.frontend import Imported, import_model
from zapdeploy.compile.mapping.sharing import Kept, Shared, sharing
from zapdeploy.errors import UsageError, ZapdeployError
from zapdeploy.explore.accuracy import AccuracyJob, accuracy_row
from zapdeploy.explore.axes import SPACE, SUITED
from zapdeploy.explore.outcome import (
    FAILED,
    INTERNAL,
    UNFIT,
    WHY_NOT_BY_VALUES,
    no_row,
    row_by_values,
    row_of,
    row_over_space,
)
from zapdeploy.explore.points import Job
from zapdeploy.hardware_targets import Target, parse_target
from zapdeploy.platforms import peak_memory_bytes
from zapdeploy.sim.activity import measure_activity
from zapdeploy.sim.activity.costs import ACTUAL
from zapdeploy.sim.asked import ESTIMATE, TIMING
from zapdeploy.sim.batches import in_batches
from zapdeploy.sim.results import Result

AnyJob = Job | AccuracyJob
_IMPORTS, _TARGETS, _LAST = 3, 64, 4


class Workshop:
    """Computes points, and keeps what the next ones may need."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """`shapes`: of inputs with other open dimensions than the batch, by name."""
        self._shapes = dict(shapes or {})
        self.forget()

    def row(self, network: str, file: Path, job: AnyJob) -> dict[str, Any]:
        """What is kept of a point; where something goes wrong, the reason."""
        began = time.perf_counter()
        try:
            row = self._row(network, file, job)
        except ZapdeployError as error:
            row = no_row(FAILED, str(error))
        except MemoryError:
            row = no_row(FAILED, "memory must suffice for this point; give a smaller one")
        except Exception as error:  # one point's fault must not end the others
            row = no_row(FAILED, f"{INTERNAL}: {type(error).__name__}: {error}")
        spent = {"seconds": time.perf_counter() - began, "peak_memory_bytes": peak_memory_bytes()}
        return {"digest": job.digest, **row, **spent}

    def forget(self) -> None:
        """Let go of everything that is kept, where memory gets short."""
        self._imports, self._targets, self._results = Kept(_IMPORTS), Kept(_TARGETS), Kept(_LAST)
        self.shared = Shared()

    def result(self, network: str, file: Path, job: Job) -> Result | str:
        """A point's whole result, or why it does not fit."""
        chip = self._target(job.target_text)
        key = (network, job.batch, job.chips, job.micro_batch, job.objective, job.effort)
        return self._results.get(
            (*key, job.target_text, job.timing), lambda: self._made(network, file, job, chip)
        )

    def _row(self, network: str, file: Path, job: AnyJob) -> dict[str, Any]:
        if isinstance(job, AccuracyJob):
            return accuracy_row(file, job)
        if job.split == SPACE:
            return self._row_over_space(network, file, job)
        if job.chip_grid != SUITED:
            raise UsageError(f"chip_grid must go with split space, not {job.split}")
        found = self.result(network, file, job)
        if isinstance(found, str):
            return no_row(UNFIT, found, self._target(job.target_text))
        return row_of(found, job.frame_rate_hz) | self._by_values(network, found, job)

    def _row_over_space(self, network: str, file: Path, job: Job) -> dict[str, Any]:
        """A point whose cards each hold a box of every tensor."""
        if job.micro_batch is not None or job.values is not None:
            raise UsageError("micro_batch and values must be left out with split space")
        chip = self._target(job.target_text)
        program = cut_over_space(
            self._reading(network, file),
            file.stem,
            chip,
            job.target_text,
            chips=job.chips,
            chip_grid=None if job.chip_grid == SUITED else job.chip_grid,
            batch=job.batch,
            objective=job.objective,
            effort=job.effort,
        )
        if not program.fits:
            return no_row(UNFIT, program.why_not, chip)
        level = TIMING if job.timing == "schedule" else ESTIMATE
        found = simulate_space(program, frame_rate_hz=job.frame_rate_hz, level=level)
        return row_over_space(found)

    def _by_values(self, network: str, found: Result, job: Job) -> dict[str, Any]:
        """The energy by what values some frames have; it is one for all frame rates."""
        if job.values is None:
            return {}
        path, frames = job.values
        key = (network, replace(job, digest="", frame_rate_hz=None))

        def measured() -> dict[str, Any]:
            interface = found.pipeline.interface
            try:
                given = in_batches(interface, load_arrays(Path(path), interface.inputs))
                activity = measure_activity(found, given, frames)
            except ZapdeployError as error:
                return {WHY_NOT_BY_VALUES: str(error)}
            return row_by_values(activity.energy(ACTUAL, activity.gated))

        row: dict[str, Any] = self._results.get(key, measured)
        return row

    def _made(self, network: str, file: Path, job: Job, chip: Target) -> Result | str:
        with sharing(self.shared):
            program = compile_network(
                self._reading(network, file),
                file.stem,
                chip,
                job.target_text,
                batch=job.batch,
                chips=job.chips,
                micro_batch=job.micro_batch,
                objective=job.objective,
                effort=job.effort,
            )
            if not program.fits:
                return program.why_not
            return simulate(program, level=TIMING if job.timing == "schedule" else ESTIMATE)

    def _reading(self, network: str, file: Path) -> Callable[[int | None], Imported]:
        """Imports the network once for each batch."""
        return lambda batch: self._imports.get(
            (network, batch), lambda: self._imported(file, batch)
        )

    def _imported(self, file: Path, batch: int | None) -> Imported:
        whole = {
            name: (batch or lengths[0], *lengths[1:]) for name, lengths in self._shapes.items()
        }
        return import_model(file, batch=batch, shapes=whole)

    def _target(self, text: str) -> Target:
        return self._targets.get(text, lambda: parse_target(text, "target"))
