"""Run a sample of batches core by core, and count what their bits do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zapdeploy.compile.graph import Array
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.program.layer import lower
from zapdeploy.compile.program.program import Program
from zapdeploy.progress import StepProgress
from zapdeploy.sim.activity.costs import Sample, levels_of
from zapdeploy.sim.activity.counting import Counter
from zapdeploy.sim.activity.counts import StageActivity
from zapdeploy.sim.activity.result import ActivityResult
from zapdeploy.sim.core_array import CoreArray
from zapdeploy.sim.frames import Run
from zapdeploy.sim.performance import Performance
from zapdeploy.sim.staged import run_pipeline

FRAMES = 2  # counted, if not told otherwise: the fewest that show an error


def measure_activity(
    performance: Performance,
    batches: Sequence[Mapping[str, Array]],
    frames: int = FRAMES,
    progress: StepProgress = lambda done, total: None,
) -> ActivityResult:
    """Energy by values, from a sample of about so many frames of the given batches.

    A network with state is run from its first frame on; of others the batches are spread evenly.
    """
    pipeline = performance.pipeline
    chosen = sampled(pipeline, len(batches), frames)
    by_stage = _counted(pipeline, [batches[b] for b in chosen], progress)
    by_batch = tuple(
        (levels_of(stages, False), levels_of(stages, True))
        for stages in zip(*by_stage, strict=True)
    )
    totals = tuple(_total(stage) for stage in by_stage)
    size = pipeline.micro_batch
    sample = Sample(len(chosen), len(chosen) * size, len(batches) * size)
    return ActivityResult(performance, totals, sample, by_batch)


def sampled(pipeline: Pipeline, given: int, frames: int) -> list[int]:
    """The batches to run, of so many that are given."""
    wanted = min(max(-(-frames // pipeline.micro_batch), 1), given)
    if pipeline.interface.state:
        return list(range(wanted))
    return [int(b) for b in np.linspace(0, given - 1, wanted).round()]


def _counted(
    pipeline: Pipeline,
    batches: Sequence[Mapping[str, Array]],
    progress: StepProgress,
) -> list[list[StageActivity]]:
    """What was counted, by chip and batch."""
    found: list[list[StageActivity]] = []

    def counting(program: Program) -> Run:
        lowered = lower(program)
        counter, taken = Counter(lowered), list[StageActivity]()
        cores = CoreArray(lowered, counter)
        found.append(taken)

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            outputs = cores.run(inputs)
            taken.append(counter.taken())
            return outputs

        return run

    run_pipeline(pipeline, batches, progress, counting)
    return found


def _total(batches: Sequence[StageActivity]) -> StageActivity:
    first, *rest = batches
    for each in rest:
        first += each
    return first
