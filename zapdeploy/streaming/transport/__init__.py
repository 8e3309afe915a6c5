"""Where frames come from and where forecasts go: one file for each way.

| address | source | sink |
|---|---|---|
| `zmq-sub:`, `zmq-pull:` + `tcp://HOST:PORT` or `ipc://PATH` | ZeroMQ | |
| `zmq-pub:`, `zmq-push:` + the same | | ZeroMQ |
| `redis://HOST:PORT/STREAM` | Redis stream | Redis stream |
| `-` | standard input | standard output |
| `synthetic`, a path or URL of a recording | replayed at its own pace | |
| `NAME.zarr`, `NAME.nwb` | | a file |
| `none` | | nothing is kept |

ZeroMQ: `sub` and `push` connect, `pull` and `pub` bind; `@` or `>` before the address says
otherwise (`zmq-sub:@tcp://*:5555` binds).
"""

from __future__ import annotations

from pathlib import Path

from zapdeploy.errors import UsageError
from zapdeploy.streaming.transport.base import EndOfStreamError, LostError, Nowhere, Sink, Source

__all__ = ["EndOfStreamError", "LostError", "Sink", "Source", "open_sink", "open_source"]


def open_source(address: str) -> Source | None:
    """The source at an address; None where it is a recording to be replayed.

    Raises UsageError for an address that is none, DataError where nothing can be opened.
    """
    if address.startswith("zmq-"):
        from zapdeploy.streaming.transport.zeromq import ZeroMQSource

        return ZeroMQSource(address)
    if address.startswith(("redis://", "rediss://", "unix://")):
        from zapdeploy.streaming.transport.redis_streams import RedisSource

        return RedisSource(address)
    if address == "-":
        from zapdeploy.streaming.transport.pipes import PipeSource

        return PipeSource()
    return None


def open_sink(address: str, horizon: int, neurons: int) -> Sink:
    """The sink at an address, for forecasts [horizon, neurons]. Raises as `open_source`."""
    if address == "none":
        return Nowhere()
    if address.startswith("zmq-"):
        from zapdeploy.streaming.transport.zeromq import ZeroMQSink

        return ZeroMQSink(address)
    if address.startswith(("redis://", "rediss://", "unix://")):
        from zapdeploy.streaming.transport.redis_streams import RedisSink

        return RedisSink(address)
    if address == "-":
        from zapdeploy.streaming.transport.pipes import PipeSink

        return PipeSink()
    if address.endswith((".zarr", ".zarr/")):
        from zapdeploy.streaming.transport.zarr_file import ZarrSink

        return ZarrSink(Path(address), horizon, neurons)
    if address.endswith(".nwb"):
        from zapdeploy.streaming.transport.nwb_file import NWBSink

        return NWBSink(Path(address), horizon, neurons)
    raise UsageError(
        "sink must be zmq-pub:ADDRESS, zmq-push:ADDRESS, redis://HOST:PORT/STREAM, NAME.zarr, "
        f"NAME.nwb, - or none, not '{address}'"
    )
