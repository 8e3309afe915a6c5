"""What travels: one MessagePack map for each frame and for each forecast.

A frame, as a microscope's computer sends it:

| key | type | |
|---|---|---|
| `frame` | integer | number of the frame, one more each time |
| `values` | bytes | the neurons' activity, little-endian |
| `dtype` | text, optional | NumPy's name of it; `<f4` where it is left out |
| `time_ns` | integer, optional | when it was sent, on the sender's `clock` |
| `clock` | text, optional | `monotonic`: this machine's; another is passed on, not read |
| `run` | text or integer, optional | another value than before: the sender has begun anew |
| `covariates` | bytes, optional | float32 [horizon, covariates], where the network reads some |

A forecast has `frame` (the last one that it has seen), `time_ns` and `clock` of that frame,
`values` float32 [horizon, neurons], `shape`, `dtype`, and `latency_ns` from the frame's arrival to
the moment of packing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.errors import DataError
from zapdeploy.streaming.extras import require

FLOAT32 = "<f4"
MONOTONIC = "monotonic"
LARGEST_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Frame:
    """values: [neurons]. arrived_ns: when it was received, on this machine's monotonic clock."""

    number: int
    values: NDArray[Any]
    arrived_ns: int = 0
    time_ns: int | None = None
    clock: str = ""
    run: str | int | None = None
    covariates: Floats | None = None

    @property
    def transport_ns(self) -> int | None:
        """From the sender to here; None where the two do not share a clock."""
        if self.time_ns is None or self.clock != MONOTONIC or not self.arrived_ns:
            return None
        return self.arrived_ns - self.time_ns


@dataclass(frozen=True, eq=False)
class Forecast:
    """values: float32 [horizon, neurons], of the frames after number `frame`."""

    frame: int
    values: Floats
    latency_ns: int
    time_ns: int | None = None
    clock: str = ""


def pack_frame(
    number: int,
    values: NDArray[Any],
    *,
    time_ns: int | None = None,
    clock: str = MONOTONIC,
    run: str | int | None = None,
    covariates: Floats | None = None,
) -> bytes:
    """A frame as it travels. values: [neurons], of any real type."""
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    held: dict[str, Any] = {
        "frame": int(number),
        "values": values.tobytes(),
        "dtype": values.dtype.str,
    }
    if time_ns is not None:
        held |= {"time_ns": time_ns, "clock": clock}
    if run is not None:
        held["run"] = run
    if covariates is not None:
        held["covariates"] = np.ascontiguousarray(covariates, FLOAT32).tobytes()
    return _packed(held)


def unpack_frame(message: bytes, arrived_ns: int) -> Frame:
    """Raises DataError for what is no frame, saying which key is wrong."""
    return frame_of(_unpacked(message), arrived_ns)


def frame_of(held: object, arrived_ns: int) -> Frame:
    """The frame that an unpacked map is. Raises as `unpack_frame`."""
    if not isinstance(held, dict):
        raise DataError(f"message must be a MessagePack map, not {type(held).__name__}")
    covariates = held.get("covariates")
    return Frame(
        number=_integer(held, "frame"),
        values=_values(held, "values", _dtype(held)),
        arrived_ns=arrived_ns,
        time_ns=_integer(held, "time_ns") if "time_ns" in held else None,
        clock=str(held.get("clock", ""))[:32],
        run=held.get("run") if isinstance(held.get("run"), str | int) else None,
        covariates=None if covariates is None else _values(held, "covariates", np.dtype(FLOAT32)),
    )


def pack_forecast(forecast: Forecast) -> bytes:
    """A forecast as it travels."""
    held: dict[str, Any] = {
        "frame": forecast.frame,
        "values": np.ascontiguousarray(forecast.values, FLOAT32).tobytes(),
        "shape": list(forecast.values.shape),
        "dtype": FLOAT32,
        "latency_ns": forecast.latency_ns,
    }
    if forecast.time_ns is not None:
        held |= {"time_ns": forecast.time_ns, "clock": forecast.clock}
    return _packed(held)


def unpack_forecast(message: bytes) -> Forecast:
    """Raises DataError for what is no forecast."""
    held = _unpacked(message)
    if not isinstance(held, dict):
        raise DataError(f"message must be a MessagePack map, not {type(held).__name__}")
    values = _values(held, "values", np.dtype(FLOAT32))
    shape = held.get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int for n in shape):
        raise DataError(f"'shape' of a forecast must be [horizon, neurons], not {shape!r:.60}")
    if shape[0] < 0 or shape[1] < 0 or shape[0] * shape[1] != values.size:
        raise DataError(f"'values' of a forecast must be {shape}, not {values.size} numbers")
    return Forecast(
        frame=_integer(held, "frame"),
        values=values.reshape(shape),
        latency_ns=_integer(held, "latency_ns"),
        time_ns=_integer(held, "time_ns") if "time_ns" in held else None,
        clock=str(held.get("clock", "")),
    )


def _packed(held: Mapping[str, Any]) -> bytes:
    packed: bytes = require("msgpack").packb(held)
    return packed


def _unpacked(message: bytes) -> Any:
    msgpack = require("msgpack")
    try:
        return msgpack.unpackb(message, max_bin_len=LARGEST_BYTES)
    except Exception as error:  # its exceptions have no common base class
        reason = str(error) or type(error).__name__
        raise DataError(
            f"message must be a MessagePack map, not unreadable: {reason:.80}"
        ) from None


def _integer(held: Mapping[str, Any], key: str) -> int:
    found = held.get(key)
    if type(found) is not int:
        raise DataError(f"'{key}' of a message must be a whole number, not {found!r:.60}")
    return found


def _dtype(held: Mapping[str, Any]) -> np.dtype[Any]:
    name = held.get("dtype", FLOAT32)
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError):
        dtype = np.dtype(object)
    if dtype.kind not in "iuf":
        raise DataError(f"'dtype' of a message must be a real number's, as '<f4', not {name!r:.60}")
    return dtype


def _values(held: Mapping[str, Any], key: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    found = held.get(key)
    if not isinstance(found, bytes):
        raise DataError(f"'{key}' of a message must be bytes, not {type(found).__name__}")
    if len(found) % dtype.itemsize:
        raise DataError(
            f"'{key}' of a message must be whole numbers of {dtype.itemsize} bytes, not "
            f"{len(found)} bytes"
        )
    return np.frombuffer(found, dtype)
