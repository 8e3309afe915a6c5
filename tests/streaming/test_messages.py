"""Messages survive the way there and back; what is none is refused with its reason."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zapdeploy.errors import DataError
from zapdeploy.streaming import Forecast, pack_frame, unpack_forecast
from zapdeploy.streaming.messages import pack_forecast, unpack_frame

REAL = st.sampled_from(["<f4", "<f8", "<f2", "<i2", "<u2", "|u1", ">f4"])


@given(st.integers(0, 2**60), REAL.flatmap(lambda d: hnp.arrays(d, st.integers(0, 20))))
def test_frames_come_back(number: int, values: np.ndarray) -> None:
    packed = pack_frame(number, values, time_ns=5, run="a", covariates=np.ones((2, 3), np.float32))
    found = unpack_frame(packed, 7)
    assert (found.number, found.time_ns, found.run, found.transport_ns) == (number, 5, "a", 2)
    np.testing.assert_array_equal(found.values, values)
    assert found.covariates is not None
    assert found.covariates.size == 6


def test_another_clock_is_not_read() -> None:
    packed = pack_frame(1, np.zeros(2), time_ns=5, clock="unix")
    assert unpack_frame(packed, 7).transport_ns is None
    assert unpack_frame(pack_frame(1, np.zeros(2)), 7).transport_ns is None


def test_forecasts_come_back() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = unpack_forecast(pack_forecast(Forecast(9, values, 1000, 5, "monotonic")))
    assert (found.frame, found.latency_ns, found.time_ns, found.clock) == (9, 1000, 5, "monotonic")
    np.testing.assert_array_equal(found.values, values)


WRONG = {
    b"\xc1": "message must be a MessagePack map, not unreadable",
    b"": "message must be a MessagePack map, not unreadable",
    msgpack.packb([1, 2]): "message must be a MessagePack map, not list",
    msgpack.packb({"values": b""}): "'frame' of a message must be a whole number, not None",
    msgpack.packb({"frame": True, "values": b""}): "must be a whole number, not True",
    msgpack.packb({"frame": 1}): "'values' of a message must be bytes, not NoneType",
    msgpack.packb({"frame": 1, "values": b"abc"}): "whole numbers of 4 bytes, not 3 bytes",
    msgpack.packb({"frame": 1, "values": b"", "dtype": "O"}): "must be a real number's",
    msgpack.packb({"frame": 1, "values": b"", "dtype": 7}): "must be a real number's",
    msgpack.packb({"frame": 1, "values": b"", "dtype": "<c8"}): "must be a real number's",
}


@pytest.mark.parametrize("message", WRONG, ids=lambda m: m.hex()[:16] or "empty")
def test_what_is_no_frame_is_refused(message: bytes) -> None:
    with pytest.raises(DataError, match=WRONG[message].replace("[", r"\[")):
        unpack_frame(message, 0)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(message: bytes) -> None:
    for read in (lambda: unpack_frame(message, 0), lambda: unpack_forecast(message)):
        try:
            read()
        except DataError:
            continue


def test_a_forecast_of_another_shape_is_refused() -> None:
    held = {"frame": 1, "values": bytes(8), "shape": [2, 2], "latency_ns": 1}
    with pytest.raises(DataError, match=r"must be \[2, 2\], not 2 numbers"):
        unpack_forecast(msgpack.packb(held))
    with pytest.raises(DataError, match=r"must be \[horizon, neurons\], not 'x'"):
        unpack_forecast(msgpack.packb({**held, "shape": "x"}))
