"""Simulated rows of an event-driven chip: one per threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zapdeploy.benchmarks.models.model_files import ModelFile, precision_file
from zapdeploy.benchmarks.request import WorkItem
from zapdeploy.benchmarks.results.rows import MAE, Horizon, Row
from zapdeploy.benchmarks.simulated.event_driven import (
    EventStream,
    StreamPoint,
    in_lava,
    neurons_read,
    open_stream,
)
from zapdeploy.errors import ModelError
from zapdeploy.quantities import Provenance

_NOTE = (
    "events counted by Lava over a stream of frames; priced as Loihi 1's, an upper bound for "
    "Loihi 2; static power not known"
)


@dataclass
class EventRows:
    """Makes rows; the stream of the model at hand is kept for its next threshold."""

    data: str | None
    versions: Mapping[str, str]
    _streams: dict[tuple[str, str], EventStream] = field(default_factory=dict)

    def row(self, item: WorkItem, folder: Path) -> Row:
        """Raises ZapdeployError when the model cannot be converted, or Lava not be run."""
        assert item.threshold is not None
        if item.workload.path is None and not item.workload.is_forecaster:
            raise ModelError(
                f"model must be a forecaster for an event-driven chip, not {item.workload.name}: "
                "its input is no stream of frames"
            )
        file = precision_file(item.workload, item.precision, folder)
        stream = self._stream(file, item.target)
        return self._as_row(item, file, stream, stream.point(item.threshold, in_lava))

    def _stream(self, file: ModelFile, target: str) -> EventStream:
        key = (file.sha256, target)
        if key not in self._streams:
            from zapdeploy.benchmarks.accuracy.training_data import data_to_read
            from zapdeploy.recordings.recording import open_recording

            self._streams.clear()
            data, options = data_to_read(str(file.path), self.data)
            recording = open_recording(data, neurons_read(file.path), options=options)
            self._streams[key] = open_stream(file.path, recording, target)
        return self._streams[key]

    def _windows(self, stream: EventStream) -> str:
        return f"{stream.frames} test windows of '{stream.condition}', {stream.data} data"

    def _as_row(
        self, item: WorkItem, file: ModelFile, stream: EventStream, point: StreamPoint
    ) -> Row:
        trained = item.workload.has_weights
        return Row(
            key=item.key,
            model=item.workload.name,
            precision=item.precision,
            target=f"{item.target}, threshold {point.threshold}",
            scenario=item.scenario,
            kind=Provenance.SIMULATED,
            boundary="core array",
            source=f"Lava's fixed-point simulation, {stream.frames} frames of {stream.data} data",
            batch=1,
            frames_per_s=1 / point.latency_s,
            latency_s=point.latency_s,
            energy_per_frame=point.energy,
            energy_is_bound=True,
            accuracy=point.mean_mae if trained else None,
            accuracy_metric=MAE if trained else "",
            horizon=Horizon(point.mae, stream.naive_mae, self._windows(stream))
            if trained
            else None,
            note="; ".join(note for note in (file.note, _NOTE) if note),
            configuration={
                "threshold": point.threshold,
                "cores": stream.placement.cores,
                "synaptic_ops": point.synaptic_ops,
                "saved_share": point.saved_share,
                "messages": point.messages,
                "step_s": point.step_s,
                "energy_parts_j": point.energy_parts_j,
            },
            versions=self.versions,
            digest=file.sha256,
        )
