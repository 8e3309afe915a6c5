"""ZeroMQ sockets; a peer that goes away and comes back is found again by ZeroMQ itself."""

from __future__ import annotations

import time
from typing import Any

from zapdeploy.errors import UsageError
from zapdeploy.streaming.extras import require
from zapdeploy.streaming.messages import Forecast, Frame, pack_forecast, unpack_frame
from zapdeploy.streaming.transport.base import LostError

_SOURCES = {"zmq-sub": "SUB", "zmq-pull": "PULL"}
_SINKS = {"zmq-pub": "PUB", "zmq-push": "PUSH"}
_BINDS = {"PULL", "PUB"}
_SEND_TIMEOUT_MS = 200
_LINGER_MS = 2000  # at the end: how long forecasts that were not taken yet are kept


class ZeroMQSource:
    """Frames from a SUB or PULL socket, one message each."""

    def __init__(self, address: str) -> None:
        self._zmq, self._socket = _open(address, _SOURCES)

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame; None if none came in this time."""
        if not self._socket.poll(timeout_s * 1000):
            return None
        message = self._socket.recv()
        return unpack_frame(message, time.monotonic_ns())

    def close(self) -> None:
        self._socket.close(linger=0)


class ZeroMQSink:
    """Forecasts to a PUB or PUSH socket, one message each."""

    def __init__(self, address: str) -> None:
        self._zmq, self._socket = _open(address, _SINKS)
        self._socket.setsockopt(self._zmq.SNDTIMEO, _SEND_TIMEOUT_MS)

    def prepare(self, forecast: Forecast) -> object:
        return pack_forecast(forecast)

    def send(self, prepared: object) -> None:
        try:
            self._socket.send(prepared, copy=False)
        except self._zmq.Again:
            raise LostError("nobody takes the forecasts") from None

    def close(self) -> None:
        self._socket.close(linger=_LINGER_MS)


def _open(address: str, kinds: dict[str, str]) -> tuple[Any, Any]:
    zmq = require("zmq")
    word, _, place = address.partition(":")
    if word not in kinds or not place:
        names = " or ".join(f"{name}:tcp://HOST:PORT" for name in kinds)
        raise UsageError(f"ZeroMQ address must be {names}, not '{address}'")
    kind = kinds[word]
    binds = place[0] == "@" or (place[0] != ">" and kind in _BINDS)
    socket = zmq.Context.instance().socket(getattr(zmq, kind))
    if kind == "SUB":
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    try:
        (socket.bind if binds else socket.connect)(place.lstrip("@>"))
    except zmq.ZMQError as error:
        socket.close(linger=0)
        raise UsageError(
            f"ZeroMQ address must be one that can be {'bound' if binds else 'connected'}, not "
            f"'{place}': {error}"
        ) from None
    return zmq, socket
