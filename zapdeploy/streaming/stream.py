"""The loop: frames are received, taken into the context, forecast from, and sent on.

Receiving and sending each have a thread of their own, so that neither waits for the network; ONNX
Runtime and the kernels of the simulator compute without Python's lock.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from zapdeploy.errors import DataError
from zapdeploy.streaming.forecaster import Forecaster
from zapdeploy.streaming.messages import Forecast, Frame
from zapdeploy.streaming.report import StreamOptions, StreamReport, Times
from zapdeploy.streaming.transport.base import EndOfStreamError, LostError, Sink, Source
from zapdeploy.streaming.troubles import Intake, Tally

_POLL_S = 0.1
_LONGEST_RETRY_S = 5.0
_WAITING = 64  # frames, and forecasts, between the threads
Clock = Callable[[], int]


Watch = Callable[[StreamReport], None]


def stream(
    forecaster: Forecaster,
    source: Source,
    sink: Sink,
    options: StreamOptions | None = None,
    *,
    stop: threading.Event | None = None,
    watch: Watch = lambda report: None,
) -> StreamReport:
    """Forecast from a source's frames into a sink until the source ends or `stop` is set.

    watch: called when frames can come, and after every frame. Source and sink are closed at the
    end, however that comes; what was under way is sent first. Raises only what the network itself
    raises.
    """
    options = options or StreamOptions()
    stop = stop or threading.Event()
    tally = Tally()
    report = StreamReport(forecaster, options, tally)
    _warm_up(forecaster, options.warmup, report)
    inbox = _Inbox(source, tally, stop, options)
    outbox = _Outbox(sink, tally, report, options.policies.slow_sink)
    watch(report)
    try:
        _Loop(forecaster, options, tally, report, inbox, outbox, stop, watch).run()
    finally:
        stop.set()
        outbox.finish()
        inbox.finish()
    report.ended = inbox.ended
    return report


def _warm_up(forecaster: Forecaster, count: int, report: StreamReport) -> None:
    """Let the engine allocate and choose its kernels before the first frame."""
    engine = forecaster.engine
    for _ in range(count):
        began = time.monotonic_ns()
        engine.run_blank()
        report.warmup.add(time.monotonic_ns() - began)


@dataclass
class _Loop:
    """The middle: what happens to each frame."""

    forecaster: Forecaster
    options: StreamOptions
    tally: Tally
    report: StreamReport
    inbox: _Inbox
    outbox: _Outbox
    stop: threading.Event
    watch: Watch

    def __post_init__(self) -> None:
        self._intake = Intake(
            self.forecaster.neurons, self.forecaster.context, self.options.policies, self.tally
        )

    def run(self) -> None:
        limit = self.options.frames
        while limit is None or self.report.frames < limit:
            frame = self.inbox.take()
            if frame is None:
                return
            self._take(frame)
            self.watch(self.report)
        self.inbox.ended = f"after {limit} frames"

    def _take(self, frame: Frame) -> None:
        taken_ns = time.monotonic_ns()
        self.report.frames += 1
        if not self._intake.admit(frame):
            return
        if self._intake.anew:
            self.forecaster.reset()
        for _ in range(self._intake.held):
            self.forecaster.keep(self._intake.before)
        self.forecaster.keep(self._intake.values)
        if not self.forecaster.ready:
            self.report.filling += 1
        elif self.options.policies.late == "skip" and self.inbox.has_newer():
            self.tally.count("skipped", f"frame {frame.number} is late: its forecast is skipped")
        else:
            self._forecast(frame, taken_ns)

    def _forecast(self, frame: Frame, taken_ns: int) -> None:
        try:
            values = self.forecaster.forecast(frame.covariates)
        except DataError as error:
            self.tally.count("refused", f"frame {frame.number} gives no forecast: {error}")
            return
        _, ready_ns, asked_ns, answered_ns = self.forecaster.marks_ns
        done_ns = time.monotonic_ns()
        stages = self.report.stages
        if (transport := frame.transport_ns) is not None:
            stages["transport"].add(transport)
        stages["wait"].add(taken_ns - frame.arrived_ns)
        stages["window"].add(ready_ns - taken_ns)
        stages["host_in"].add(asked_ns - ready_ns)
        stages["device"].add(answered_ns - asked_ns)
        stages["host_out"].add(done_ns - answered_ns)
        self.report.forecasts += 1
        forecast = Forecast(
            frame.number, values, done_ns - frame.arrived_ns, frame.time_ns, frame.clock
        )
        self.outbox.put(forecast, Times(frame.arrived_ns, done_ns))


class _Inbox:
    """Receives in a thread of its own."""

    def __init__(
        self, source: Source, tally: Tally, stop: threading.Event, options: StreamOptions
    ) -> None:
        self._source, self._tally, self._stop = source, tally, stop
        self._idle_s = options.idle_s
        self._queue: queue.Queue[Frame | None] = queue.Queue(options.ahead)
        self.ended = "stopped"
        self._thread = threading.Thread(target=self._receive, name="receive", daemon=True)
        self._thread.start()

    def take(self) -> Frame | None:
        """The next frame; None when there will be none."""
        while True:
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                if self._stop.is_set():
                    return None

    def has_newer(self) -> bool:
        """Whether another frame waits already."""
        waiting = self._queue.queue
        return bool(waiting) and waiting[0] is not None

    def finish(self) -> None:
        self._thread.join(timeout=_LONGEST_RETRY_S + 1)
        self._source.close()

    def _receive(self) -> None:
        try:
            self._receive_all()
        except EndOfStreamError:
            self.ended = "the source ended"
        except Exception as error:  # a fault of the source must end the stream, not hang it
            self._tally.count("source_failed", f"the source failed: {error}")
            self.ended = f"the source failed: {error}"
        self._put(None)

    def _receive_all(self) -> None:
        heard, retry_s = time.monotonic(), _POLL_S
        while not self._stop.is_set():
            try:
                frame = self._source.receive(_POLL_S)
                retry_s = _POLL_S
            except DataError as error:
                self._tally.count("malformed", f"a message is left out: {error}")
                continue
            except LostError as error:
                self._tally.count("source_lost", f"the source is lost: {error}; trying again")
                self._stop.wait(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                frame = None
            now = time.monotonic()
            if frame is not None:
                heard = now
                self._put(frame)
            elif self._idle_s is not None and now - heard > self._idle_s:
                self.ended = f"no frame came for {self._idle_s:g} s"
                return

    def _put(self, frame: Frame | None) -> None:
        """Waits while the loop has enough to do: the source then keeps what comes."""
        while not self._stop.is_set():
            try:
                self._queue.put(frame, timeout=_POLL_S)
                return
            except queue.Full:
                continue


class _Outbox:
    """Sends in a thread of its own."""

    def __init__(self, sink: Sink, tally: Tally, report: StreamReport, policy: str) -> None:
        self._sink, self._tally, self._report, self._policy = sink, tally, report, policy
        self._queue: queue.Queue[tuple[object, Times] | None] = queue.Queue(_WAITING)
        self._give_up_s = float("inf")
        self._thread = threading.Thread(target=self._send_all, name="send", daemon=True)
        self._thread.start()

    def put(self, forecast: Forecast, times: Times) -> None:
        """Hand a forecast on; where the sink is slow, the oldest gives way or we wait."""
        entry = (self._sink.prepare(forecast), times)
        while True:
            try:
                self._queue.put_nowait(entry)
                return
            except queue.Full:
                if self._policy == "drop":
                    self._drop_oldest()
                else:
                    self._tally.count("sink_waits", "the sink is slow: frames wait for it")
                    self._queue.put(entry)
                    return

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return
        self._tally.count("dropped", "the sink is slow: its oldest forecast is dropped")

    def finish(self) -> None:
        """Send what is left, for a few seconds at most where nobody takes it."""
        self._give_up_s = time.monotonic() + _LONGEST_RETRY_S
        self._queue.put(None)
        self._thread.join()
        self._sink.close()

    def _send_all(self) -> None:
        while (entry := self._queue.get()) is not None:
            prepared, times = entry
            if self._send(prepared):
                self._report.add_sent(times, time.monotonic_ns())

    def _send(self, prepared: object) -> bool:
        """Until it is sent; given up when the stream ends and nobody takes it."""
        retry_s = _POLL_S
        while True:
            try:
                self._sink.send(prepared)
                return True
            except LostError as error:
                self._tally.count("sink_lost", f"the sink is lost: {error}; trying again")
            except Exception as error:  # a fault of the sink must not end the stream
                self._tally.count("sink_failed", f"a forecast could not be sent: {error}")
                return False
            if time.monotonic() > self._give_up_s:
                self._tally.count("unsent", "a forecast was not taken before the end")
                return False
            time.sleep(retry_s)
            retry_s = min(2 * retry_s, 1.0)
