"""The values of a pipeline: stage after stage, each given only what was sent to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zapdeploy.compile.graph import Array
from zapdeploy.compile.multichip.pipeline import Pipeline
from zapdeploy.compile.program.program import Program
from zapdeploy.progress import StepProgress
from zapdeploy.sim.frames import Run, first_state, run_frames
from zapdeploy.sim.functional import Network, validate


def whole(stage: Program) -> Run:
    """A stage's graph, evaluated whole."""
    return Network.of(stage.graph).run


def run_pipeline(
    pipeline: Pipeline,
    batches: Sequence[Mapping[str, Array]],
    progress: StepProgress = lambda done, total: None,
    runner: Callable[[Program], Run] = whole,
) -> list[dict[str, Array]]:
    """The network's outputs for each micro-batch of inputs; state goes from one to the next.

    `runner` makes a stage ready: its graph evaluated whole, or core by core.

    All micro-batches pass a stage before the next stage is looked at: what is in memory is one
    stage, and the tensors between two. Raises DataError for inputs that the network does not take.
    """
    interface = pipeline.interface
    for batch in batches:
        validate(interface, {**first_state(interface), **batch})
    sent = [dict(batch) for batch in batches]
    for index, stage in enumerate(pipeline.stages):
        run, inputs = runner(stage), stage.graph.inputs
        frames = [{name: found[name] for name in inputs if name in found} for found in sent]
        for number, result in enumerate(run_frames(stage.graph, run, frames)):
            sent[number].update(result)
            progress(index * len(sent) + number, len(pipeline.stages) * len(sent))
        for link in pipeline.links:
            if max(link.readers) == index and link.value not in interface.outputs:
                for found in sent:
                    del found[link.value]
    return [{name: found[name] for name in interface.outputs if name in found} for found in sent]
