"""zapdeploy stream MODEL --source S --sink T"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from zapdeploy.cli import options, show

if TYPE_CHECKING:
    from zapdeploy.streaming import Forecaster, StreamReport
    from zapdeploy.streaming.transport import Source

_LIVE_S = 1.0
FRAME_RATE_HZ = 1 / 0.9141  # of ZAPBench


def add_to(app: typer.Typer) -> None:
    app.command("stream", help=_stream.__doc__)(_stream)


def _stream(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx or .zap file.")],
    source: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="zmq-sub:tcp://HOST:PORT, zmq-pull:..., redis://HOST:PORT/STREAM, - (standard "
            "input), synthetic or a recording to replay.",
        ),
    ],
    sink: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="zmq-pub:tcp://*:PORT, zmq-push:..., redis://..., NAME.zarr, NAME.nwb, - or none.",
        ),
    ] = "none",
    engine: Annotated[
        str, typer.Option(metavar="cpu|gpu|northpole-sim", help="What runs the network.")
    ] = "cpu",
    frame_rate: options.FrameRate = None,
    pace: Annotated[
        float,
        typer.Option(metavar="N", help="Replay N times as fast; 0: as fast as it can."),
    ] = 1.0,
    frames: Annotated[int | None, typer.Option(help="Stop after this many frames.")] = None,
    idle: Annotated[
        float | None, typer.Option("--idle", metavar="S", help="Stop after S s without a frame.")
    ] = None,
    late: Annotated[
        str, typer.Option(metavar="skip|queue", help="What to do with frames that are late.")
    ] = "skip",
    missing: Annotated[
        str, typer.Option(metavar="hold|reset", help="What to do about gaps in the frame numbers.")
    ] = "hold",
    nan: Annotated[
        str,
        typer.Option(metavar="hold|zero|drop", help="What to do about values that are not finite."),
    ] = "hold",
    slow_sink: Annotated[
        str,
        typer.Option(
            metavar="drop|wait", help="What to do with forecasts that nobody takes in time."
        ),
    ] = "drop",
    threads: Annotated[int | None, typer.Option(help="Threads of ONNX Runtime.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.html", help="Draw the latency over time.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.json", help="Write every number here."),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> int:
    """Forecast while frames come in, and say whether it keeps up.

    Exit status 1: a frame rate is known and the forecasts were not out in time at p99.9.
    Example: zapdeploy stream tsmixer-int8.onnx --source synthetic --sink zmq-pub:tcp://*:5556
    """
    from zapdeploy.streaming import Forecaster, StreamOptions, stream
    from zapdeploy.streaming.transport import open_sink, open_source
    from zapdeploy.streaming.troubles import Policies

    policies = Policies(late if pace else "queue", missing, nan, slow_sink if pace else "wait")
    forecaster = Forecaster(model, engine=engine, threads=threads)
    opened = open_source(source)
    if opened is None:
        opened, frame_rate = _replay(source, forecaster, frame_rate, pace, str(model))
    ahead = {} if pace else {"ahead": 1}  # nothing is late where nothing comes by itself
    chosen = StreamOptions(frame_rate, policies, frames, idle, **ahead)
    with _stopped_by_signals() as stop, _live_line() as watch:
        taker = open_sink(sink, forecaster.horizon, forecaster.neurons)
        report = stream(forecaster, opened, taker, chosen, stop=stop, watch=watch)
    _write(report, str(model), output, plot)
    if as_json and sink != "-":
        show.print_json({"model": str(model), **report.as_json()})
    else:
        _print(report, str(model), sys.stderr if sink == "-" else sys.stdout)
    return 1 if report.keeps_up is False else 0


def _replay(
    data: str, forecaster: Forecaster, frame_rate_hz: float | None, pace: float, model: str
) -> tuple[Source, float | None]:
    """The recording's frames at its own rate, or at the one asked for; and the deadline's rate."""
    from zapdeploy.benchmarks.accuracy.contenders import neurons_of
    from zapdeploy.benchmarks.accuracy.training_data import training_data
    from zapdeploy.recordings.recording import open_recording
    from zapdeploy.streaming.replay import Replay

    known = neurons_of(model)
    columns = known[1] if known is not None else None
    _, reading = training_data(model)
    recording = open_recording(data, columns or forecaster.neurons, options=reading)
    rate = frame_rate_hz or recording.frame_rate_hz or FRAME_RATE_HZ
    return Replay(recording.traces, rate, pace), rate * pace if pace else None


def _write(report: StreamReport, model: str, output: Path | None, plot: Path | None) -> None:
    from zapdeploy.streaming import summary

    if output is not None:
        show.write(output, json.dumps({"model": model, **report.as_json()}, indent=2))
    if plot is not None:
        show.write(plot, summary.page(report, model))


def _print(report: StreamReport, model: str, file: TextIO) -> None:
    """For people; on standard error where standard output has the forecasts."""
    from zapdeploy.streaming import summary

    print(summary.headline(report), file=file)
    for table in report.tables():
        show.print_table(replace(table, title=f"{model}, {table.title}"), file)
    print("\n".join(summary.notes(report)), file=file)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set: the stream then ends with its report."""
    stop = threading.Event()
    before = {
        kind: signal.signal(kind, lambda *_: stop.set()) for kind in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _live_line() -> Iterator[Callable[[StreamReport], None]]:
    """A line on the terminal every second; without a terminal, one every ten."""
    from zapdeploy.streaming.summary import live_line

    terminal = sys.stderr.isatty()
    every = _LIVE_S if terminal else 10 * _LIVE_S
    shown = time.monotonic()

    def watch(report: StreamReport) -> None:
        nonlocal shown
        now = time.monotonic()
        if not report.frames:
            print("ready: waiting for frames", file=sys.stderr, flush=True)
        if now - shown >= every:
            shown = now
            sys.stderr.write(
                f"\r\x1b[K{live_line(report)}" if terminal else live_line(report) + "\n"
            )
            sys.stderr.flush()

    try:
        yield watch
    finally:
        if terminal:
            sys.stderr.write("\r\x1b[K")
