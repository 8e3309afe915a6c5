"""Every trouble provoked: what happens to the values, and that it is counted."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.streaming.conftest import NEURONS, Kept, Listed, activity
from zapdeploy.errors import DataError, UsageError
from zapdeploy.streaming import Forecaster, StreamOptions, StreamReport, stream
from zapdeploy.streaming.messages import Forecast, Frame
from zapdeploy.streaming.transport import LostError
from zapdeploy.streaming.troubles import Policies

QUEUE = Policies(late="queue", slow_sink="wait")


def frames(traces: np.ndarray, first: int = 0, **more: Any) -> list[Frame]:
    return [Frame(first + i, row, time.monotonic_ns(), **more) for i, row in enumerate(traces)]


def run(
    models: Path, entries: list[Any], policies: Policies = QUEUE, sink: Any = None, **options: Any
) -> tuple[StreamReport, list[Forecast]]:
    sink = sink or Kept()
    forecaster = Forecaster(models / "time-mix-c4-int8.onnx")
    report = stream(forecaster, Listed(entries), sink, StreamOptions(policies=policies, **options))
    assert sink.closed
    return report, sink.got


def wanted(models: Path, window: np.ndarray) -> np.ndarray:
    forecaster = Forecaster(models / "time-mix-c4-int8.onnx")
    found = [forecaster.push(row) for row in window][-1]
    assert found is not None
    return found


def test_nothing_is_lost_without_trouble(models: Path) -> None:
    """Frames come all at once: on a busy machine they may wait for the sink's thread to run."""
    traces = activity(100)
    report, got = run(models, frames(traces), frame_rate_hz=30)
    assert [forecast.frame for forecast in got] == list(range(3, 100))
    assert (report.frames, report.filling, report.sent) == (100, 3, 97)
    assert set(report.tally.counts) <= {"sink_waits"}
    assert report.ended == "the source ended"
    for forecast in (got[0], got[50], got[-1]):
        window = traces[forecast.frame - 3 : forecast.frame + 1]
        np.testing.assert_array_equal(forecast.values, wanted(models, window))


def test_lost_frames_are_held_or_the_context_forgotten(models: Path) -> None:
    traces = activity(12)
    entries = frames(traces)
    del entries[6:8]
    held, got = run(models, entries)
    assert held.tally.counts == {"missing": 2}
    window = traces[[5, 5, 5, 8]]
    np.testing.assert_array_equal(got[3].values, wanted(models, window))
    assert [forecast.frame for forecast in got] == [3, 4, 5, 8, 9, 10, 11]
    reset, got = run(models, entries, replace(QUEUE, missing="reset"))
    assert reset.tally.counts == {"missing": 2}
    assert [forecast.frame for forecast in got] == [3, 4, 5, 11]


def test_a_gap_longer_than_the_context_forgets_it(models: Path) -> None:
    entries = frames(activity(20))
    del entries[6:12]
    report, got = run(models, entries)
    assert report.tally.counts["missing"] == 6
    assert [forecast.frame for forecast in got] == [3, 4, 5, 15, 16, 17, 18, 19]


def test_repeated_and_older_frames_are_left_out(models: Path) -> None:
    entries = frames(activity(8))
    mixed = [*entries[:5], entries[4], entries[2], *entries[5:]]
    report, got = run(models, mixed)
    assert report.tally.counts == {"repeated": 2}
    plain = run(models, entries)[1]
    for found, clean in zip(got, plain, strict=True):
        np.testing.assert_array_equal(found.values, clean.values)


@pytest.mark.parametrize("more", [{}, {"run": "second"}])
def test_a_source_that_begins_anew_starts_a_new_context(models: Path, more: dict[str, str]) -> None:
    first = 0 if not more else 2
    entries = [*frames(activity(6)), *frames(activity(6, seed=1), first, **more)]
    report, got = run(models, entries)
    assert report.tally.counts == {"restarts": 1}
    assert [forecast.frame for forecast in got] == [3, 4, 5, first + 3, first + 4, first + 5]


@pytest.mark.parametrize("policy", ["hold", "zero", "drop"])
def test_values_that_are_not_finite(models: Path, policy: str) -> None:
    traces = activity(8)
    broken = traces.copy()
    broken[5, 3], broken[5, 4] = np.nan, np.inf
    report, got = run(models, frames(broken), replace(QUEUE, nan=policy))
    assert report.tally.counts["nan_frames"] == 1
    assert report.tally.counts["nan_values"] == 2
    repaired = traces.copy()
    repaired[5, 3:5] = traces[4, 3:5] if policy == "hold" else 0
    if policy == "drop":
        repaired[5] = traces[4]  # held in its place
        assert [forecast.frame for forecast in got] == [3, 4, 6, 7]
        assert report.tally.counts["missing"] == 1
    np.testing.assert_array_equal(got[-1].values, wanted(models, repaired[4:]))


def test_wrong_sizes_and_messages_are_left_out(models: Path) -> None:
    traces = activity(8)
    entries: list[Any] = frames(traces)
    entries[5] = replace(entries[5], values=np.zeros(NEURONS + 1, np.float32))
    entries.insert(3, DataError("no frame"))
    report, got = run(models, entries)
    assert report.tally.counts == {"malformed": 1, "wrong_size": 1, "missing": 1}
    np.testing.assert_array_equal(got[-1].values, wanted(models, traces[[4, 4, 6, 7]]))


def test_a_lost_source_is_asked_again(models: Path) -> None:
    entries: list[Any] = frames(activity(8))
    entries.insert(4, LostError("gone"))
    report, got = run(models, entries)
    assert report.tally.counts == {"source_lost": 1}
    assert len(got) == 5


def test_late_frames_are_kept_but_not_forecast_from(models: Path) -> None:
    """All frames are there at once: only the last one is not late."""
    traces = activity(40)
    entries = frames(traces)

    forecaster = Forecaster(models / "time-mix-c4-int8.onnx")
    slow = forecaster.engine.run

    def slowly(*given: Any) -> Any:
        time.sleep(0.02)
        return slow(*given)

    forecaster.engine.run = slowly  # type: ignore[method-assign]
    sink = Kept()
    report = stream(forecaster, Listed(entries), sink, StreamOptions(policies=Policies()))
    assert report.tally.counts["skipped"] > 20
    assert report.sent + report.tally.counts["skipped"] == 37
    np.testing.assert_array_equal(sink.got[-1].values, wanted(models, traces[-4:]))


class Slow(Kept):
    def send(self, prepared: object) -> None:
        time.sleep(0.01)
        super().send(prepared)


def test_a_slow_sink_loses_the_oldest_or_is_waited_for(models: Path) -> None:
    entries = frames(activity(150))
    report, got = run(models, entries, replace(QUEUE, slow_sink="drop"), Slow([]))
    assert report.tally.counts["dropped"] > 0
    assert report.sent + report.tally.counts["dropped"] == 147
    assert got[-1].frame == 149
    report, got = run(models, entries, QUEUE, Slow([]))
    assert "dropped" not in report.tally.counts
    assert [forecast.frame for forecast in got] == list(range(3, 150))
    assert report.tally.counts["sink_waits"] > 0


class Failing(Kept):
    def __init__(self, errors: list[Exception]) -> None:
        super().__init__()
        self.errors = errors

    def send(self, prepared: object) -> None:
        if self.errors:
            raise self.errors.pop(0)
        super().send(prepared)


def test_a_sink_that_comes_back_gets_everything(models: Path) -> None:
    report, got = run(models, frames(activity(8)), sink=Failing([LostError("gone")] * 2))
    assert report.tally.counts["sink_lost"] == 2
    assert [forecast.frame for forecast in got] == [3, 4, 5, 6, 7]
    report, got = run(models, frames(activity(8)), sink=Failing([OSError("broken")]))
    assert report.tally.counts["sink_failed"] == 1
    assert [forecast.frame for forecast in got] == [4, 5, 6, 7]


def test_a_fault_of_the_source_ends_the_stream_with_its_reason(models: Path) -> None:
    report, got = run(models, [*frames(activity(6)), RuntimeError("camera on fire")])
    assert report.ended == "the source failed: camera on fire"
    assert len(got) == 3


def test_stop_frames_and_silence_end_a_stream(models: Path) -> None:
    assert run(models, frames(activity(30)), frames=10)[0].ended == "after 10 frames"
    silent: list[Any] = [*frames(activity(6)), *[None] * 10**6]
    assert run(models, silent, idle_s=0.05)[0].ended == "no frame came for 0.05 s"
    stop = threading.Event()
    forecaster, sink = Forecaster(models / "time-mix-c4-int8.onnx"), Kept()
    threading.Timer(0.2, stop.set).start()
    report = stream(forecaster, Listed([None] * 10**7), sink, stop=stop)
    assert (report.ended, report.frames) == ("stopped", 0)


def test_deadlines_and_leads(models: Path) -> None:
    report, _ = run(models, frames(activity(20)), frame_rate_hz=1e6)
    assert report.missed == report.sent == 17
    assert report.keeps_up is False
    report, _ = run(models, frames(activity(20)), frame_rate_hz=0.1)
    assert (report.missed, report.keeps_up) == (0, True)
    lead = report.useful_lead_s()
    assert len(lead) == 32
    assert 9 < lead[0]["p99.9_s"] <= lead[0]["p50_s"] < 10
    assert np.isclose(lead[3]["p50_s"] - lead[0]["p50_s"], 30)


def test_wrong_options() -> None:
    with pytest.raises(UsageError, match="slow-sink must be one of drop, wait, not 'block'"):
        Policies(slow_sink="block")
    with pytest.raises(UsageError, match="frame rate must be above 0 Hz, not 0"):
        StreamOptions(frame_rate_hz=0)
    with pytest.raises(UsageError, match="frames must be 1 or more, not 0"):
        StreamOptions(frames=0)


def test_a_line_for_each_kind_of_trouble_now_and_then(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = frames(activity(400))[::2]
    report, _ = run(models, entries)
    lines = [record.message for record in caplog.records]
    assert report.tally.counts["missing"] == 199
    assert lines[0] == "1 frames before 2 are missing"
    assert len(lines) < 10
