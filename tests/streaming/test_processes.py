"""`zapdeploy stream` as a process of its own, with real sockets, a real Redis and real signals."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")

import redis
import tensorstore
import zmq

from tests.streaming.conftest import NEURONS, activity
from zapdeploy.streaming import Forecast, Forecaster, pack_frame, unpack_forecast

WAIT_MS = 30_000


class Streaming:
    """A running `zapdeploy stream`, ended at the latest with the test."""

    def __init__(self, models: Path, place: Path, *arguments: str, stdin: bool = False) -> None:
        self.report = place / "report.json"
        command = [sys.executable, "-m", "zapdeploy", "stream"]
        self.process = subprocess.Popen(
            [*command, str(models / "time-mix-c4-int8.onnx"), *arguments, "-o", str(self.report)],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, kind: int | None = None) -> dict[str, Any]:
        """Its report, after a signal."""
        if kind is not None:
            self.process.send_signal(kind)
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode in (0, 1), err.decode()
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found

    def __enter__(self) -> Streaming:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check(got: list[Forecast], traces: np.ndarray, models: Path) -> None:
    """Every forecast is that of its four frames, to the bit."""
    forecaster = Forecaster(models / "time-mix-c4-int8.onnx")
    wanted = [None if (v := forecaster.push(row)) is None else v.copy() for row in traces]
    assert [forecast.frame for forecast in got] == list(range(3, len(traces)))
    for forecast in got:
        np.testing.assert_array_equal(forecast.values, wanted[forecast.frame])


@pytest.fixture
def context() -> Iterator[Any]:
    with zmq.Context() as made:
        made.linger = 0
        yield made


def received(taker: Any, count: int) -> list[Forecast]:
    found = []
    for _ in range(count):
        assert taker.poll(WAIT_MS), f"{len(found)} of {count} forecasts came"
        found.append(unpack_forecast(taker.recv()))
    return found


def test_zeromq_loses_nothing(models: Path, tmp_path: Path, context: Any) -> None:
    giver, taker = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    port = free_port()
    giver.connect(f"tcp://127.0.0.1:{port}")
    out = taker.bind_to_random_port("tcp://127.0.0.1")
    traces = activity(200)
    arguments = ("--source", f"zmq-pull:tcp://127.0.0.1:{port}", "--late", "queue")
    sink = ("--sink", f"zmq-push:tcp://127.0.0.1:{out}")
    more = ("--frame-rate", "5", "--slow-sink", "wait")
    with Streaming(models, tmp_path, *arguments, *sink, *more) as streaming:
        for number, row in enumerate(traces):
            giver.send(pack_frame(number, row, time_ns=time.monotonic_ns()))
        check(received(taker, 197), traces, models)
        report = streaming.end(signal.SIGTERM)
    assert (report["frames"], report["sent"]) == (200, 197)
    assert set(report["troubles"]) <= {"sink_waits"}  # on a busy machine
    assert report["ended"] == "stopped"
    assert report["stages"]["transport"]["count"] == 197


def test_a_source_that_dies_and_comes_back(models: Path, tmp_path: Path, context: Any) -> None:
    """The second sender begins anew: the context is that of its own frames alone."""
    taker = context.socket(zmq.PULL)
    port, out = free_port(), taker.bind_to_random_port("tcp://127.0.0.1")
    arguments = ("--source", f"zmq-pull:tcp://127.0.0.1:{port}", "--late", "queue")
    with Streaming(
        models, tmp_path, *arguments, "--sink", f"zmq-push:tcp://127.0.0.1:{out}"
    ) as streaming:
        for seed in (0, 1):
            giver = context.socket(zmq.PUSH)
            giver.connect(f"tcp://127.0.0.1:{port}")
            traces = activity(10, seed)
            for number, row in enumerate(traces):
                giver.send(pack_frame(number, row))
            check(received(taker, 7), traces, models)
            giver.close()
        report = streaming.end(signal.SIGINT)
    assert report["troubles"] == {"restarts": 1}
    assert report["frames"] == 20


def test_standard_input_and_output(models: Path, tmp_path: Path) -> None:
    import msgpack

    traces = activity(50)
    arguments = ("--source", "-", "--sink", "-", "--late", "queue")
    with Streaming(models, tmp_path, *arguments, stdin=True) as streaming:
        messages = b"".join(pack_frame(number, row) for number, row in enumerate(traces))
        out, err = streaming.process.communicate(messages, timeout=60)
        assert streaming.process.returncode == 0, err
    got = [unpack_forecast(msgpack.packb(held)) for held in _maps(out)]
    check(got, traces, models)
    assert b"forecasts were out within" in err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ended"] == "the source ended"


def _maps(content: bytes) -> Iterator[object]:
    import msgpack

    unpacker = msgpack.Unpacker()
    unpacker.feed(content)
    yield from unpacker


def test_kill_9_loses_at_most_the_frame_under_way(
    models: Path, tmp_path: Path, context: Any
) -> None:
    giver = context.socket(zmq.PUSH)
    port = free_port()
    giver.connect(f"tcp://127.0.0.1:{port}")
    kept = tmp_path / "kept.zarr"
    arguments = ("--source", f"zmq-pull:tcp://127.0.0.1:{port}", "--sink", str(kept))
    arguments += ("--slow-sink", "wait")
    traces = activity(1000)
    with Streaming(models, tmp_path, *arguments, "--late", "queue") as streaming:
        sent = 0
        while _written(kept) < 40:
            giver.send(pack_frame(sent, traces[sent]))
            sent += 1
            time.sleep(0.01)
        done = _written(kept)
        streaming.process.kill()
        streaming.process.wait()
    frames = np.asarray(_opened(kept, "frame"))
    count = int((frames >= 0).sum())
    assert count >= done
    assert frames[:count].tolist() == list(range(3, 3 + count))
    values = np.asarray(_opened(kept, "forecasts")[:count])
    got = [Forecast(number + 3, row, 0) for number, row in enumerate(values)]
    check(got, traces[: count + 3], models)


def _opened(kept: Path, name: str) -> Any:
    store = {"driver": "file", "path": str(kept / name)}
    return tensorstore.open({"driver": "zarr3", "kvstore": store}).result()


def _written(kept: Path) -> int:
    try:
        return int((np.asarray(_opened(kept, "frame")) >= 0).sum())
    except ValueError:
        return 0


def test_a_file_that_ends_well_has_no_empty_rows(models: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.zarr"
    messages = b"".join(pack_frame(number, row) for number, row in enumerate(activity(20)))
    arguments = ("--source", "-", "--sink", str(kept), "--late", "queue")
    with Streaming(models, tmp_path, *arguments, stdin=True) as streaming:
        streaming.process.communicate(messages, timeout=60)
    assert np.asarray(_opened(kept, "frame")).tolist() == list(range(3, 20))
    assert (np.asarray(_opened(kept, "latency_ns")) > 0).all()
    assert _opened(kept, "forecasts").shape == (17, 32, NEURONS)


def test_an_nwb_file_for_the_archive(models: Path, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    kept, traces = tmp_path / "kept.nwb", activity(20)
    messages = b"".join(
        pack_frame(number, row, time_ns=10**9 * (number + 1)) for number, row in enumerate(traces)
    )
    arguments = ("--source", "-", "--sink", str(kept), "--late", "queue")
    with Streaming(models, tmp_path, *arguments, stdin=True) as streaming:
        _, err = streaming.process.communicate(messages, timeout=60)
        assert streaming.process.returncode == 0, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.nwb", "report.json"]
    with pynwb.NWBHDF5IO(str(kept), "r") as reader:
        series = reader.read().processing["forecasts"]["forecasts"]
        np.testing.assert_allclose(series.timestamps[:], np.arange(4, 21), rtol=1e-12)
        values, seen = series.data[:], series.control[:]
    got = [Forecast(int(n), row, 0) for n, row in zip(seen, values, strict=True)]
    check(got, traces, models)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine (Debian package redis-server)")
    made = RedisServer(tmp_path)
    yield made
    made.stop()


class RedisServer:
    """A Redis on a free port, that keeps what it has over a restart."""

    def __init__(self, place: Path, *, durable: bool = True) -> None:
        self._place, self.port, self._durable = place, free_port(), durable
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--dir", str(self._place), "--save", "",
             "--appendonly", "yes" if self._durable else "no", "--appendfsync", "always"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(200):
            try:
                self.client.ping()
                return
            except redis.RedisError:
                time.sleep(0.05)
        raise AssertionError("redis-server does not answer")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def forecasts_in(client: Any, stream: str, count: int) -> list[Forecast]:
    for _ in range(600):
        try:
            entries = client.xrange(stream)
        except redis.RedisError:
            entries = []
        if len(entries) >= count:
            return [unpack_forecast(fields[b"message"]) for _, fields in entries]
        time.sleep(0.05)
    raise AssertionError(f"{len(entries)} of {count} forecasts came")


def test_redis_loses_nothing_though_it_dies(
    models: Path, tmp_path: Path, server: RedisServer
) -> None:
    traces, where = activity(60), f"redis://127.0.0.1:{server.port}"
    arguments = ("--source", f"{where}/frames?from=0", "--sink", f"{where}/forecasts")
    with Streaming(models, tmp_path, *arguments, "--late", "queue") as streaming:
        for number, row in enumerate(traces[:30]):
            server.client.xadd("frames", {"message": pack_frame(number, row)})
        forecasts_in(server.client, "forecasts", 27)
        server.stop()
        time.sleep(0.5)
        server.start()
        for number, row in enumerate(traces[30:], 30):
            server.client.xadd("frames", {"message": pack_frame(number, row)})
        check(forecasts_in(server.client, "forecasts", 57), traces, models)
        report = streaming.end(signal.SIGTERM)
    assert report["frames"] == 60
    assert set(report["troubles"]) == {"source_lost"}


def test_redis_fields_as_other_systems_write_them(
    models: Path, tmp_path: Path, server: RedisServer
) -> None:
    traces, where = activity(20), f"redis://127.0.0.1:{server.port}"
    fields = "?from=0&values=rates&frame=i&dtype=float64"
    arguments = ("--source", f"{where}/nodes{fields}", "--sink", f"{where}/forecasts")
    with Streaming(models, tmp_path, *arguments, "--late", "queue", "--frames", "20") as streaming:
        for number, row in enumerate(traces):
            entry = {"rates": row.astype(np.float64).tobytes(), "i": number}
            server.client.xadd("nodes", entry)
        check(forecasts_in(server.client, "forecasts", 17), traces, models)
        assert streaming.end()["ended"] == "after 20 frames"


WRONG = {
    ("--source", "zmq-push:tcp://127.0.0.1:1"): "ZeroMQ address must be zmq-sub:tcp://HOST:PORT",
    ("--source", "zmq-sub:nowhere"): "ZeroMQ address must be one that can be connected",
    ("--source", "redis://127.0.0.1:1"): "Redis address must be redis://HOST:PORT/STREAM",
    ("--source", "redis://127.0.0.1:1/s"): "Redis must answer, not fail",
    ("--source", "redis://127.0.0.1:1/s?from=0&dtype=text"): "must be a real number's",
    (
        "--source",
        "zmq-sub:tcp://127.0.0.1:1",
        "--sink",
        "forecasts.txt",
    ): "sink must be zmq-pub:ADDRESS",
    ("--source", "zmq-sub:tcp://127.0.0.1:1", "--sink", "."): "sink must be zmq-pub:ADDRESS",
    ("--source", "synthetic", "--pace", "-1"): "--pace must be 0 or more, not -1",
    ("--source", "-", "--late", "never"): "late must be one of skip, queue, not 'never'",
}


@pytest.mark.parametrize("arguments", WRONG, ids=lambda a: " ".join(a))
def test_wrong_addresses_are_one_line(
    models: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from zapdeploy.cli.app import run

    monkeypatch.setenv("ZAPDEPLOY_CACHE", str(tmp_path))
    assert run(["stream", str(models / "time-mix-c4-int8.onnx"), *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert WRONG[arguments] in line
