"""Redis streams: an entry for each frame and forecast, with the message under one field.

`redis://HOST:PORT/STREAM?from=0` reads from the stream's beginning; without it, what comes from now
on. A frame may also have its parts as fields of their own, as BRAND's nodes write them: then
`?values=FIELD` names the field of the activity, `&frame=FIELD` that of the number (without one,
entries are counted) and `&dtype=float32` the type.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import numpy as np

from zapdeploy.errors import DataError, UsageError
from zapdeploy.streaming.extras import require
from zapdeploy.streaming.messages import Forecast, Frame, pack_forecast, unpack_frame
from zapdeploy.streaming.transport.base import LostError

FIELD = b"message"
_KEPT = 10_000  # forecasts kept in the sink's stream, about
_READ = 16  # entries a call


class RedisSource:
    """Frames from a stream, in order, each once; goes on after the last one when Redis is back."""

    def __init__(self, address: str) -> None:
        self._redis, self._client, self._stream, options = _open(
            address, {"from", "values", "frame", "dtype"}
        )
        self._after: bytes | str = options.get("from", "$")
        if self._after == "$":
            self._after = self._newest()
        self._fields = {
            name: options[name].encode() for name in ("values", "frame") if name in options
        }
        self._dtype = _dtype(options.get("dtype", "float32"))
        self._waiting: list[tuple[bytes, dict[bytes, bytes]]] = []
        self._counted = 0

    def _newest(self) -> bytes | str:
        """The id of the newest entry: `$` itself would lose what comes between two calls."""
        try:
            found = self._client.xrevrange(self._stream, count=1)
        except self._redis.RedisError as error:
            raise DataError(f"Redis must answer, not fail: {error}; start redis-server") from None
        return found[0][0] if found else "0-0"

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame; None if none came in this time."""
        if not self._waiting:
            block = max(int(timeout_s * 1000), 1)
            try:
                answer = self._client.xread({self._stream: self._after}, count=_READ, block=block)
            except self._redis.RedisError as error:
                raise LostError(f"Redis does not answer: {error}") from None
            # A list of pairs or a dictionary, by the version of the protocol.
            self._waiting = list(next(iter(dict(answer).values()))) if answer else []
            if not self._waiting:
                return None
        self._after, fields = self._waiting.pop(0)
        return self._frame(fields, time.monotonic_ns())

    def _frame(self, fields: dict[bytes, bytes], arrived_ns: int) -> Frame:
        self._counted += 1
        if not self._fields:
            if FIELD not in fields:
                raise DataError(
                    f"entry of a Redis stream must have the field 'message', not "
                    f"{', '.join(f.decode(errors='replace')[:20] for f in list(fields)[:5])}; name "
                    "the field of the activity: ?values=FIELD"
                )
            return unpack_frame(fields[FIELD], arrived_ns)
        try:
            values = np.frombuffer(fields[self._fields["values"]], self._dtype)
            number = self._number(fields)
        except (KeyError, ValueError) as error:
            raise DataError(f"entry of a Redis stream must hold a frame, not {error}") from None
        return Frame(number, values, arrived_ns)

    def _number(self, fields: dict[bytes, bytes]) -> int:
        if "frame" not in self._fields:
            return self._counted - 1
        raw = fields[self._fields["frame"]]
        return int(raw) if raw.isdigit() else int.from_bytes(raw, "little")

    def close(self) -> None:
        self._client.close()


class RedisSink:
    """Forecasts into a stream, of which about the last 10,000 are kept."""

    def __init__(self, address: str) -> None:
        self._redis, self._client, self._stream, _ = _open(address, set())

    def prepare(self, forecast: Forecast) -> object:
        return pack_forecast(forecast)

    def send(self, prepared: object) -> None:
        try:
            self._client.xadd(self._stream, {FIELD: prepared}, maxlen=_KEPT, approximate=True)
        except self._redis.RedisError as error:
            raise LostError(f"Redis does not answer: {error}") from None

    def close(self) -> None:
        self._client.close()


def _open(address: str, known: set[str]) -> tuple[Any, Any, str, dict[str, str]]:
    redis = require("redis")
    parts = urlsplit(address)
    stream = parts.path.strip("/")
    options = dict(parse_qsl(parts.query))
    if not stream or "/" in stream or set(options) - known:
        allowed = f"?{'=...&'.join(sorted(known))}=..." if known else "nothing"
        raise UsageError(
            f"Redis address must be redis://HOST:PORT/STREAM, with {allowed} after it, not "
            f"'{address}'"
        )
    try:
        client = redis.Redis.from_url(
            urlunsplit((parts.scheme, parts.netloc, "", "", "")), socket_connect_timeout=2
        )
    except ValueError as error:
        raise UsageError(f"Redis address must be one, not '{address}': {error}") from None
    return redis, client, stream, options


def _dtype(name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "iuf":
        raise UsageError(f"dtype of a Redis address must be a real number's, not '{name}'")
    return dtype
