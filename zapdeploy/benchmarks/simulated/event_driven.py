"""A forecaster on an event-driven chip, fed with a stream of frames: what change costs.

The stream is the test split of one condition, window after window. With threshold zero the chip
computes the integer graph's own forecasts; as the threshold rises it sends less and errs more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.compile.frontend import import_model
from zapdeploy.compile.graph import Graph, Value
from zapdeploy.compile.layers import network_inputs
from zapdeploy.compile.ops.codes import quantize
from zapdeploy.compile.regions import IntArray
from zapdeploy.errors import ModelError
from zapdeploy.forecasters.baselines import MeanBaseline
from zapdeploy.hardware_targets import load_event_target
from zapdeploy.host_part import HostNormalisation, host_normalisation
from zapdeploy.progress import Progress
from zapdeploy.quantities import Estimate
from zapdeploy.recordings.columns import check_columns, noted_columns
from zapdeploy.recordings.conditions import Condition, Split, window_starts
from zapdeploy.recordings.recording import Neurons, Recording
from zapdeploy.sim.sigma_delta import (
    Placement,
    SigmaDeltaNetwork,
    Spikes,
    convert,
    count_events,
    place,
    price,
    run_in_lava,
    with_thresholds,
)
from zapdeploy.sim.sigma_delta.network import outputs_of, stream_with_drain

THRESHOLDS = (0, 2, 4, 8, 16, 32)
MEAN_WINDOW = 4  # of the naive mean
Run = Callable[[SigmaDeltaNetwork, Spikes], dict[str, IntArray]]
Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class StreamPoint:
    """One threshold, in steps of each layer's code. Counts and energies are per frame.

    `mae` [32]: over neurons and windows, per forecast step. `energy`: events alone, priced as
    Loihi 1's; `step_s`: the busiest core and the barrier; `latency_s`: until a frame's forecast.
    """

    threshold: int
    mae: tuple[float, ...]
    synaptic_ops: float
    saved_share: float
    messages: float
    neuron_updates: float
    energy: Estimate
    energy_parts_j: dict[str, float]
    step_s: float
    latency_s: float

    @property
    def mean_mae(self) -> float:
        return float(np.mean(self.mae))

    def as_json(self) -> dict[str, Any]:
        plain = {key: value for key, value in vars(self).items() if key != "energy"}
        return {**plain, "mean_mae": self.mean_mae, "energy_per_frame_j": self.energy.as_json()}


@dataclass(frozen=True, eq=False)
class EventStream:
    """A network and its stream, ready to be run at any threshold.

    `codes`: inputs [frames, x, y, channel]; `targets` float32 [frames, horizon, neurons].
    `naive_mae`: error of the naive mean at each step. `condition`: whose test split it is.
    `data`: the recording's source. `restore`: what the host does with forecasts.
    """

    graph: Graph
    network: SigmaDeltaNetwork
    placement: Placement
    codes: dict[str, IntArray]
    targets: NDArray[np.float32]
    target_name: str
    naive_mae: tuple[float, ...]
    restore: Restore
    condition: str = ""
    data: str = ""

    @property
    def frames(self) -> int:
        return len(self.targets)

    def point(self, threshold: int, run: Run) -> StreamPoint:
        """What the stream costs at one threshold, and how good the forecasts are."""
        network = with_thresholds(self.network, threshold)
        spikes = run(network, stream_with_drain(network, self.codes))
        target = load_event_target(self.target_name)
        events = count_events(network, spikes, self.placement, target)
        costs = price(events, network, target)
        forecasts = self.forecasts(network, spikes)
        return StreamPoint(
            threshold=threshold,
            mae=_mae(forecasts, self.targets),
            synaptic_ops=events.synaptic_ops / events.steps,
            saved_share=events.saved_share,
            messages=events.messages / events.steps,
            neuron_updates=events.neuron_updates / events.steps,
            energy=costs.energy_per_frame,
            energy_parts_j=costs.parts_j,
            step_s=costs.step_s,
            latency_s=costs.latency_s,
        )

    def forecasts(self, network: SigmaDeltaNetwork, spikes: Spikes) -> NDArray[np.float32]:
        """What left the chip and then the host, as numbers [frames, 32, neurons]."""
        (output,) = network.outputs
        return self.restore(output.reals(outputs_of(network, spikes, self.frames)[output.name]))


def neurons_read(model: Path, shapes: Shapes | None = None) -> Neurons:
    """What to open a recording with for a forecaster [1, context, neurons]: the columns it was
    trained on, where it says so, or how many it reads. `shapes`: of inputs with open dimensions.
    """
    imported = import_model(model, batch=1, shapes=shapes)
    columns = noted_columns(imported.origin.notes, str(model))
    return columns or int(network_inputs(imported.graph)[0].shape[-1])


def open_stream(
    model: Path,
    recording: Recording,
    target: str,
    frames: int | None = None,
    shapes: Shapes | None = None,
) -> EventStream:
    """A quantized forecaster [1, context, neurons] and the stream it is fed with.

    `frames`: of the stream, all by default; `shapes`: whole shapes of inputs with open dimensions.
    Raises ModelError when it cannot be converted or does not fit, TargetError for an unknown chip.
    """
    chip = load_event_target(target)
    imported = import_model(model, batch=1, shapes=shapes)
    graph = imported.graph
    (value,) = _single(network_inputs(graph))
    if len(value.shape) != 3 or value.shape[2] != recording.neurons:
        raise ModelError(
            f"model must read [1, context, {recording.neurons}], not {list(value.shape)} "
            f"('{model.name}'); give --neurons of the model"
        )
    notes = imported.origin.notes
    check_columns(noted_columns(notes, str(model)), recording.columns, str(model))
    network = convert(graph)
    horizon = graph.values[graph.outputs[0]].shape[1]
    condition = stream_condition(recording, value.shape[1], horizon)
    starts = condition.window_starts(Split.TEST, value.shape[1], horizon)[:frames]
    contexts = recording.contexts(starts, value.shape[1])
    normal, restore = _on_the_host(contexts, host_normalisation(notes, str(model)))
    codes = _codes(normal, value)
    (source,) = network.inputs
    targets = recording.targets(starts, value.shape[1], horizon)
    return EventStream(
        graph,
        network,
        place(network, chip),
        {source.name: source.layout.to_box(codes)},
        targets,
        target,
        _mae(_naive(value.shape[1], horizon).forecast(contexts), targets),
        restore,
        condition.name,
        "synthetic" if recording.is_synthetic else recording.source,
    )


def curve(
    stream: EventStream,
    thresholds: Sequence[int] = THRESHOLDS,
    run: Run | None = None,
    progress: Progress = lambda what, done, total: None,
) -> tuple[StreamPoint, ...]:
    """The trade-off between error and events, one Lava run per threshold."""
    found = []
    for index, threshold in enumerate(thresholds):
        progress(f"threshold {threshold}", index, len(thresholds))
        found.append(stream.point(threshold, run or in_lava))
    return tuple(found)


def in_lava(network: SigmaDeltaNetwork, stream: Spikes) -> dict[str, IntArray]:
    """The spikes of a run in Lava, by population."""
    return run_in_lava(network, stream).spikes


def _on_the_host(
    contexts: NDArray[np.float32], normalisation: HostNormalisation | None
) -> tuple[NDArray[np.float32], Restore]:
    """What the chip is given [frames, context, neurons], and what is done with its forecasts."""
    if normalisation is None:
        return contexts, lambda forecasts: forecasts
    normal, mean, deviation = normalisation.normalise(contexts)
    return normal, lambda forecasts: normalisation.restore(forecasts, mean, deviation)


def _mae(forecasts: NDArray[np.float32], targets: NDArray[np.float32]) -> tuple[float, ...]:
    """At each step, over frames and neurons: [frames, 32, neurons] -> 32 numbers."""
    error = np.abs(forecasts - targets).mean(axis=(0, 2), dtype=np.float64)
    return tuple(float(e) for e in error)


def _naive(context: int, horizon: int) -> MeanBaseline:
    return MeanBaseline(min(MEAN_WINDOW, context), horizon)


def stream_condition(recording: Recording, context: int, horizon: int) -> Condition:
    """The one of the longest test split that was trained on. Raises DataError where none has a
    window.
    """
    trained = [c for c in recording.conditions if not c.held_out] or list(recording.conditions)
    found = max(trained, key=lambda c: len(c.window_starts(Split.TEST, context, horizon)))
    if not len(found.window_starts(Split.TEST, context, horizon)):
        window_starts(Split.TEST, context, horizon, trained)  # raises, saying what is needed
    return found


def _single(values: tuple[Value, ...]) -> tuple[Value, ...]:
    if len(values) != 1:
        raise ModelError(f"model must have one input for an event-driven chip, not {len(values)}")
    return values


def _codes(contexts: NDArray[np.float32], value: Value) -> IntArray:
    """Codes relative to the zero point [frames, context, neurons]."""
    assert value.quantization is not None
    return quantize(contexts, value).astype(np.int64) - int(value.quantization.zero_point[0])
