"""A golden input and its output, which a forecaster carries along for `zapdeploy verify`.

An ONNX file holds them in its metadata under `KEY`, in the data's unit: what whoever runs it gives
and gets, with the host's part done. Of very many neurons the input is a window of some, repeated,
and the output is kept of some, so that a file grows by no more than a few megabytes.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.arrays import Floats
from zapdeploy.errors import ModelError

KEY = "zapdeploy.golden"
MOST_VALUES = 2**18  # of the input, and of the output, that are kept
FLOAT_SHARE = 1e-4  # of the output's range: what float networks may differ by
QUANTIZED_SHARE = 1e-2  # what a few steps of rounding at a tie come to
FLOAT, QUANTIZED = "float", "quantized"
# Inputs by name, one window each -> forecast [1, horizon, neurons] of the network itself.
Run = Callable[[Mapping[str, Floats]], Floats]


@dataclass(frozen=True, eq=False)
class Golden:
    """traces [context, repeated neurons], covariates [horizon, any number] or None, and output
    [horizon, kept neurons] of the neurons `kept`, of `neurons` in all. form: what the output was
    computed by: the float network, or a quantized one.
    """

    traces: Floats
    covariates: Floats | None
    output: Floats
    kept: NDArray[np.int64]
    neurons: int
    form: str = FLOAT

    @property
    def context(self) -> Floats:
        """What the forecaster is given: [1, context, neurons]."""
        columns = np.arange(self.neurons) % self.traces.shape[1]
        return self.traces[None][:, :, columns]

    @property
    def ahead(self) -> Floats:
        """The covariates it is given: [1, horizon, any number]."""
        if self.covariates is None:
            return np.zeros((1, len(self.output), 0), np.float32)
        return self.covariates[None]

    @property
    def tolerance(self) -> float:
        """In the data's unit: what the output may differ by on another machine."""
        share = FLOAT_SHARE if self.form == FLOAT else QUANTIZED_SHARE
        return share * float(np.ptp(self.output) or 1.0)

    def difference(self, forecast: Floats) -> Floats:
        """Of a forecast [1, horizon, neurons] from the output that is kept."""
        found: Floats = forecast[0][:, self.kept] - self.output
        return found

    def notes(self) -> dict[str, str]:
        """What a file's metadata says of it."""
        arrays = {"traces": self.traces, "output": self.output}
        if self.covariates is not None:
            arrays["covariates"] = self.covariates
        held: dict[str, Any] = {name: _packed(value) for name, value in arrays.items()}
        return {KEY: json.dumps({**held, "neurons": self.neurons, "form": self.form})}


def make_golden(
    context: Floats, covariates: Floats | None, forecast: Callable[[Floats, Floats], Floats]
) -> Golden:
    """From a window [context, neurons] and the covariates to come [horizon, any number]."""
    frames, neurons = context.shape
    repeated = max(1, min(neurons, MOST_VALUES // frames))
    empty = np.zeros((0, 0), np.float32)
    made = Golden(context[:, :repeated], covariates, empty, np.arange(0), neurons)
    given = np.zeros((1, 1, 0), np.float32) if covariates is None else covariates[None]
    return kept_output(made, forecast(made.context, given))


def kept_output(golden: Golden, forecast: Floats) -> Golden:
    """With the output of a forecast [1, horizon, neurons], of evenly spread neurons."""
    count = max(1, min(golden.neurons, MOST_VALUES // forecast.shape[1]))
    kept = _kept(golden.neurons, count)
    return replace(golden, output=np.ascontiguousarray(forecast[0][:, kept]), kept=kept)


def noted_golden(notes: Mapping[str, str], where: str) -> Golden | None:
    """What a file's metadata holds; None where it holds none. Raises ModelError when damaged."""
    if KEY not in notes:
        return None
    try:
        held = json.loads(notes[KEY])
        output, neurons = _unpacked(held["output"]), int(held["neurons"])
        covariates = _unpacked(held["covariates"]) if "covariates" in held else None
        kept = _kept(neurons, output.shape[1])
        return Golden(
            _unpacked(held["traces"]), covariates, output, kept, neurons, str(held["form"])
        )
    except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise ModelError(
            f"metadata '{KEY}' must hold a golden input and output, not {type(error).__name__}: "
            f"{error} ({where}); export the model again"
        ) from None


def renewed(
    notes: Mapping[str, str], run: Run, names: tuple[str, ...], where: str
) -> dict[str, str]:
    """The notes with the golden output of the quantized network that `run` runs, which has inputs
    of these names; as they are where there is no golden input.
    """
    from zapdeploy.host_part import host_normalisation

    golden = noted_golden(notes, where)
    if golden is None:
        return dict(notes)
    context = golden.context
    host = host_normalisation(notes, where)
    given, mean, deviation = (context, None, None) if host is None else host.normalise(context)
    inputs = dict(zip(names, (given, golden.ahead), strict=False))
    found = run(inputs)
    if host is not None and mean is not None and deviation is not None:
        found = host.restore(found, mean, deviation)
    return {**notes, **kept_output(replace(golden, form=QUANTIZED), found).notes()}


def _kept(neurons: int, count: int) -> NDArray[np.int64]:
    """So many of the neurons, evenly spread."""
    return np.arange(count, dtype=np.int64) * neurons // count


def _packed(values: Floats) -> dict[str, Any]:
    data = zlib.compress(np.ascontiguousarray(values, "<f4").tobytes(), 6)
    return {"shape": list(values.shape), "data": base64.b64encode(data).decode("ascii")}


def _unpacked(held: Mapping[str, Any]) -> Floats:
    shape = tuple(int(size) for size in held["shape"])
    limit = 4 * int(np.prod(shape))
    if limit > 8 * MOST_VALUES * 4:
        raise ValueError(f"an array of {list(shape)}")
    data = zlib.decompressobj().decompress(base64.b64decode(held["data"], validate=True), limit)
    return np.frombuffer(data, "<f4").astype(np.float32).reshape(shape)
