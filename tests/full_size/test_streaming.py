"""Minutes of frames at their own pace through real sockets: none is lost, and no value differs.

ZAPDEPLOY_STREAM_SECONDS says for how long each is run (30). Forecasts are compared with those that
`evaluate` scores, to the bit.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("msgpack")

import redis
import zmq

from tests.streaming.test_processes import RedisServer, free_port
from zapdeploy.benchmarks.accuracy.contenders import contenders
from zapdeploy.forecasters import export_model, sample_inputs
from zapdeploy.quantize import quantize_onnx
from zapdeploy.streaming import Forecast, pack_frame, unpack_forecast

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("ZAPDEPLOY_STREAM_SECONDS", "30"))
REAL = Path(__file__).parents[3] / "shared" / "data" / "zebrafish"
TECTUM = REAL / "tectum_20170215-f3_dff_neurons_x_frames.npy"
WAIT_S = 60


@dataclass(frozen=True, eq=False)
class Run:
    """traces: float32 [frames, neurons], sent at rate_hz to a forecaster in a file."""

    model: Path
    traces: np.ndarray
    rate_hz: float


def made(place: Path, traces: np.ndarray, rate_hz: float) -> Run:
    """time-mix with 4 frames of context, int8, calibrated on the traces' first windows."""
    neurons, name = traces.shape[1], "time-mix-c4"
    export_model(name, place / "float.onnx", neurons=neurons)
    (given,) = sample_inputs(name, 1, neurons=neurons)
    windows = np.stack([traces[i : i + 4] for i in range(8)])
    quantize_onnx(
        place / "float.onnx", place / "m.onnx", weights=8, activations=8,
        calibration={given: windows},
    )  # fmt: skip
    return Run(place / "m.onnx", traces, rate_hz)


def real(place: Path) -> Run:
    if not TECTUM.is_file():
        pytest.skip("the real recordings are not beside the project (../shared/data)")
    traces = np.ascontiguousarray(np.load(TECTUM).T, np.float32)
    rate_hz = 5.0  # not stated with the file: of the order of such a microscope
    return made(place, traces[: max(int(SECONDS * rate_hz), 20)], rate_hz)


def synthetic(place: Path) -> Run:
    frames, neurons, rate_hz = max(int(SECONDS * 1.094), 12), 71_721, 1.094
    rng = np.random.default_rng(0)
    block = rng.uniform(-0.2, 1.2, (16, neurons)).astype(np.float32)
    shifts = rng.uniform(0, 0.1, frames).astype(np.float32)
    return made(place, np.stack([block[i % 16] + shifts[i] for i in range(frames)]), rate_hz)


class ZeroMQ:
    """The two ends of a stream over PUSH and PULL."""

    def __init__(self, place: Path) -> None:
        self._context = zmq.Context()
        self._giver, self._taker = (self._context.socket(kind) for kind in (zmq.PUSH, zmq.PULL))
        port, out = free_port(), self._taker.bind_to_random_port("tcp://127.0.0.1")
        self._giver.connect(f"tcp://127.0.0.1:{port}")
        self.source = f"zmq-pull:tcp://127.0.0.1:{port}"
        self.sink = f"zmq-push:tcp://127.0.0.1:{out}"

    def give(self, message: bytes) -> None:
        self._giver.send(message)

    def take(self) -> bytes | None:
        return self._taker.recv() if self._taker.poll(WAIT_S * 1000) else None

    def close(self) -> None:
        self._context.destroy(linger=0)


class Redis:
    """The two ends of a stream over Redis."""

    def __init__(self, place: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server on this machine (Debian package redis-server)")
        self._server = RedisServer(place, durable=False)
        self._client, self._after = redis.Redis(port=self._server.port), "0-0"
        where = f"redis://127.0.0.1:{self._server.port}"
        self.source, self.sink = f"{where}/frames?from=0", f"{where}/forecasts"

    def give(self, message: bytes) -> None:
        self._client.xadd("frames", {"message": message}, maxlen=64)

    def take(self) -> bytes | None:
        answer = self._client.xread({"forecasts": self._after}, count=1, block=WAIT_S * 1000)
        if not answer:
            return None
        ((self._after, fields),) = next(iter(dict(answer).values()))
        self._client.xtrim("forecasts", maxlen=8)
        found: bytes = fields[b"message"]
        return found

    def close(self) -> None:
        self._server.stop()


@pytest.mark.parametrize("transport", [ZeroMQ, Redis])
@pytest.mark.parametrize("what", [real, synthetic])
def test_no_frame_is_lost_and_no_value_differs(
    what: Callable[[Path], Run], transport: type[ZeroMQ | Redis], tmp_path: Path
) -> None:
    run, ends = what(tmp_path), transport(tmp_path)
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "zapdeploy", "stream", str(run.model)]
    command += ["--source", ends.source, "--sink", ends.sink, "--frame-rate", str(run.rate_hz)]
    command += ["--late", "queue", "--slow-sink", "wait"]  # on a busy machine, too
    process = started([*command, "-o", str(report)])
    sender = threading.Thread(target=_send, args=(run, ends), daemon=True)
    try:
        sender.start()
        for last, wanted in _wanted(run):
            message = ends.take()
            assert message is not None, f"no forecast came after frame {last}"
            found = unpack_forecast(message)
            assert found.frame == last
            np.testing.assert_array_equal(found.values, wanted)
        sender.join()
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) in (0, 1)  # 1: too late for the next frame
    finally:
        process.kill()
        process.wait()
        ends.close()
    _judge(json.loads(report.read_text()), run)


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """The process, once it says that frames can come."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(b"ready"), line + process.stderr.read()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process


def _send(run: Run, ends: ZeroMQ | Redis) -> None:
    began = time.monotonic()
    for number, values in enumerate(run.traces):
        time.sleep(max(began + number / run.rate_hz - time.monotonic(), 0))
        ends.give(pack_frame(number, values, time_ns=time.monotonic_ns()))


def _wanted(run: Run) -> Iterator[tuple[int, np.ndarray]]:
    """What `evaluate` would score, window after window."""
    neurons = run.traces.shape[1]
    judged = next(iter(contenders(str(run.model), neurons))).forecast
    assert judged is not None
    nothing = np.zeros((1, 32, 26), np.float32)
    for first in range(len(run.traces) - 3):
        yield first + 3, judged(run.traces[None, first : first + 4], nothing)[0]


def _judge(report: dict[str, Any], run: Run) -> None:
    frames = len(run.traces)
    print(json.dumps({k: report[k] for k in ("frames", "sent", "troubles", "keeps_up")}))
    print(json.dumps(report["stages"]["total"]))
    assert (report["frames"], report["sent"]) == (frames, frames - 3)
    assert set(report["troubles"]) <= {"sink_waits"}


def test_a_stream_of_100_000_frames_takes_no_more_memory(tmp_path: Path) -> None:
    """Resident memory after 20,000 and after 100,000 frames, within 1 %."""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("resident memory: Linux only")
    rng = np.random.default_rng(0)
    run = made(tmp_path, rng.uniform(-0.2, 1.2, (64, 50)).astype(np.float32), 100.0)
    code = (
        "import sys, numpy as np\n"
        "from zapdeploy.streaming import Forecaster, StreamOptions, stream\n"
        "from zapdeploy.streaming.replay import Replay\n"
        "from zapdeploy.streaming.transport import open_sink\n"
        "from zapdeploy.streaming.troubles import Policies\n"
        "class Traces:\n"
        "    def __init__(self): self.a = np.random.default_rng(0).random((64, 50), np.float32)\n"
        "    def __len__(self): return 100_000\n"
        "    def __getitem__(self, i): return self.a[i % 64]\n"
        "def resident(): return int(open('/proc/self/statm').read().split()[1])\n"
        "seen = {}\n"
        "def watch(report):\n"
        "    if report.frames in (20_000, 100_000): seen[report.frames] = resident()\n"
        "options = StreamOptions(policies=Policies('queue', slow_sink='wait'), ahead=1)\n"
        "forecaster = Forecaster(sys.argv[1])\n"
        "sink = open_sink('none', forecaster.horizon, forecaster.neurons)\n"
        "report = stream(forecaster, Replay(Traces(), 100.0, 0), sink, options, watch=watch)\n"
        "print(report.sent, seen[20_000], seen[100_000])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.model)], capture_output=True, text=True, check=True
    )
    sent, early, late = map(int, done.stdout.split())
    print(sent, early, late)
    assert sent == 99_997
    assert late <= 1.01 * early


def test_thirty_frames_a_second_of_a_thousand_neurons(tmp_path: Path) -> None:
    """Ten seconds; the times are printed, and judged by `tests/speed` alone."""
    rng = np.random.default_rng(0)
    run = made(tmp_path, rng.uniform(-0.2, 1.2, (300, 1000)).astype(np.float32), 30.0)
    ends, report = ZeroMQ(tmp_path), tmp_path / "report.json"
    command = [sys.executable, "-m", "zapdeploy", "stream", str(run.model), "--frame-rate", "30"]
    process = started([*command, "--source", ends.source, "--sink", ends.sink, "-o", str(report)])
    try:
        threading.Thread(target=_send, args=(run, ends), daemon=True).start()
        got: list[Forecast] = []
        while len(got) < 297:
            message = ends.take()
            assert message is not None
            got.append(unpack_forecast(message))
            if got[-1].frame == 299:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) in (0, 1)
    finally:
        process.kill()
        process.wait()
        ends.close()
    found = json.loads(report.read_text())
    print(json.dumps(found["stages"]["total"]))
    assert found["frames"] == 300
