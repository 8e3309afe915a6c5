"""Standard input and output: MessagePack maps one after the other."""

from __future__ import annotations

import os
import select
import sys
import time

from zapdeploy.errors import DataError
from zapdeploy.streaming.extras import require
from zapdeploy.streaming.messages import LARGEST_BYTES, Forecast, Frame, frame_of, pack_forecast
from zapdeploy.streaming.transport.base import EndOfStreamError, LostError

_READ = 1 << 20


class PipeSource:
    """Frames from standard input, until it ends."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._msgpack = require("msgpack")
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._unpacker = self._msgpack.Unpacker(max_buffer_size=LARGEST_BYTES)
        self._ended = False

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame; None if none came in this time."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                return frame_of(self._unpacker.unpack(), time.monotonic_ns())
            except self._msgpack.OutOfData:
                if self._ended:
                    raise EndOfStreamError from None
            except DataError:
                raise
            except Exception as error:  # the unpacker's have no common base class
                self._ended = True
                raise DataError(
                    f"standard input must be MessagePack maps, not unreadable: {error!s:.80}; "
                    "nothing after this can be read"
                ) from None
            if not select.select([self._descriptor], [], [], max(end - time.monotonic(), 0))[0]:
                return None
            self._feed(os.read(self._descriptor, _READ))

    def _feed(self, read: bytes) -> None:
        self._ended = not read
        try:
            self._unpacker.feed(read)
        except self._msgpack.BufferFull:
            self._ended = True
            raise DataError(
                f"message on standard input must be under {LARGEST_BYTES >> 20} MiB, not larger"
            ) from None

    def close(self) -> None:
        """The descriptor is not ours to close."""


class PipeSink:
    """Forecasts to standard output."""

    def __init__(self) -> None:
        require("msgpack")
        self._out = sys.stdout.buffer

    def prepare(self, forecast: Forecast) -> object:
        return pack_forecast(forecast)

    def send(self, prepared: object) -> None:
        assert isinstance(prepared, bytes)
        try:
            self._out.write(prepared)
            self._out.flush()
        except BrokenPipeError:
            raise LostError("nobody reads standard output") from None

    def close(self) -> None:
        """Standard output is not ours to close."""
