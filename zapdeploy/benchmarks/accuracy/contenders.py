"""Forecasters in the forms that are scored: where each runs, and how it is called.

A folder from training runs in torch, an ONNX file in ONNX Runtime (and, quantized, in the
functional simulator too), a .zap file in the functional simulator. Where a file leaves the
normalisation to the host, the host's part is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.accuracy.video import Run, VideoForecast, run_in_torch, video_of
from zapdeploy.benchmarks.models.onnx_model import load_model, model_facts
from zapdeploy.errors import DataError, ModelError, UsageError
from zapdeploy.forecasters.evaluation import Forecast, FromTraces, mean_forecast
from zapdeploy.forecasters.export import COVARIATES_NAME
from zapdeploy.forecasters.folder import is_forecaster_folder, read_description
from zapdeploy.forecasters.loading import load_forecaster
from zapdeploy.forecasters.video import VideoSpec, is_video_folder
from zapdeploy.host_part import host_normalisation
from zapdeploy.onnxruntime_sessions import (
    CPU_PROVIDER,
    GPU_PROVIDER,
    Purpose,
    open_session,
)
from zapdeploy.recordings.columns import Columns, brief_columns, noted_columns
from zapdeploy.recordings.recording import Neurons
from zapdeploy.recordings.zapbench import HORIZON

if TYPE_CHECKING:
    from zapdeploy.compile.graph import Graph

MEAN, STIMULUS = "mean", "stimulus"
MEAN_WINDOW = 4
FLOAT32 = "fp32"
TORCH, ONNXRUNTIME, SIMULATOR, BASELINE = "torch", "onnxruntime", "functional simulator", "baseline"
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Contender:
    """A forecaster in one form: where it runs, in what precision, with what context.

    forecast: None for the stimulus baseline, which reads no context. columns: of the recording,
    those it was trained on; None where it does not say. horizon: frames that it forecasts.
    """

    model: str
    runner: str
    precision: str
    context: int
    batch: int
    forecast: Forecast | None
    columns: Columns | None = None
    horizon: int = HORIZON

    @property
    def kind(self) -> str:
        """The word that its numbers carry."""
        return "simulated" if self.runner == SIMULATOR else "measured"


def contenders(
    model: str, neurons: int, *, simulate: bool = False, horizon: int = HORIZON
) -> Iterator[Contender]:
    """The forms in which a model is scored; raises ZapdeployError when it is none.

    horizon: of the baselines, which can forecast any number of frames.
    """
    path = Path(model)
    if model == STIMULUS:
        yield Contender(model, BASELINE, "float", 1, 8, None, horizon=horizon)
    elif model == MEAN or model.startswith(f"{MEAN}:"):
        window = _window(model)
        forecast = mean_forecast(window, horizon)
        yield Contender(model, BASELINE, "float", window, 8, forecast, horizon=horizon)
    elif is_forecaster_folder(path):
        yield _torch_contender(path, neurons)
    elif (video := video_of(model)) is not None:
        yield from _video_contenders(path, video, simulate=simulate)
    elif path.suffix == ".onnx":
        yield _onnx_contender(path, neurons)
        if simulate and model_facts(path).precision != FLOAT32:
            yield _simulated_contender(path, *_imported(path), neurons)
    elif path.suffix == ".zap":
        from zapdeploy.compile.multichip.pipeline_file import load_pipeline

        program = load_pipeline(path)
        yield _simulated_contender(path, program.graph, program.origin.notes, neurons)
    else:
        raise _no_model(model)


def _no_model(model: str) -> UsageError:
    return UsageError(
        f"model must be a folder from zapdeploy train, an .onnx or .zap file, mean, mean:W or "
        f"stimulus, not '{model}'"
    )


def neurons_to_read(models: Sequence[str]) -> Neurons:
    """What to open a recording with for these models: the columns that they were trained on, or as
    many neurons as the first of them forecasts; None where only baselines are given.

    Raises DataError unless all say the same of their columns.
    """
    known = [(model, found) for model in models if (found := neurons_of(model)) is not None]
    if not known:
        return None
    first, (neurons, columns) = known[0]
    for model, (_, other) in known:
        if other != columns:
            raise DataError(
                f"models must say the same of the columns they were trained on, not "
                f"{brief_columns(columns)} ({first}) and {brief_columns(other)} ({model}); "
                "evaluate one at a time, or choose with --neuron-list FILE"
            )
    return columns or neurons


def horizon_of(model: str) -> int | None:
    """Frames that a model forecasts; None for a baseline, and for what is no model."""
    path = Path(model)
    if is_forecaster_folder(path):
        return read_description(path)[0].horizon
    if video_of(model) is not None:
        return HORIZON
    if path.suffix == ".onnx" and path.is_file():
        return int(open_session(path, Purpose.PLAIN).get_outputs()[0].shape[1])
    if path.suffix == ".zap" and path.is_file():
        from zapdeploy.compile.multichip.pipeline_file import load_pipeline

        program = load_pipeline(path)
        return int(program.graph.values[program.graph.outputs[0]].shape[1])
    return None


def neurons_of(model: str) -> tuple[int, Columns | None] | None:
    """How many neurons a model forecasts, and which columns they are where it says so; None for a
    baseline. Raises UsageError for what is neither.
    """
    path = Path(model)
    if is_forecaster_folder(path):
        spec = read_description(path)[0]
        return spec.neurons, spec.columns
    if (video := video_of(model)) is not None:
        return video.neurons, None
    if path.suffix == ".onnx" and path.is_file():
        session = open_session(path, Purpose.PLAIN)
        shape = next(iter(session_shapes(session).values()))
        return shape[-1], noted_columns(session.get_modelmeta().custom_metadata_map, model)
    if path.suffix == ".zap" and path.is_file():
        from zapdeploy.compile.multichip.pipeline_file import load_pipeline

        program = load_pipeline(path)
        shape = program.graph.values[program.graph.inputs[0]].shape
        return shape[-1], noted_columns(program.origin.notes, model)
    if model in (MEAN, STIMULUS) or model.startswith(f"{MEAN}:"):
        return None
    if path.suffix in (".onnx", ".zap"):
        raise ModelError(f"model must be a file, not missing ({model}); check the path")
    raise _no_model(model)


def _window(model: str) -> int:
    text = model.partition(":")[2]
    if not text:
        return MEAN_WINDOW
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise UsageError(f"window of the mean baseline must be 1 to 256 frames, not '{text}'")
    return int(text)


def _torch_contender(path: Path, neurons: int) -> Contender:
    import torch

    trained = load_forecaster(path)
    spec = trained.spec
    if spec.neurons != neurons:
        raise _other_neurons(str(path), spec.neurons, neurons)

    def forecast(contexts: Floats, covariates: Floats) -> Floats:
        inputs = (contexts, covariates) if spec.info.covariates else (contexts,)
        with torch.inference_mode():
            found: Floats = trained.network(*map(torch.from_numpy, inputs)).numpy()
        return found

    return Contender(
        str(path), TORCH, "float", spec.context, 8, forecast, spec.columns, spec.horizon
    )


def _video_contenders(path: Path, spec: VideoSpec, *, simulate: bool) -> Iterator[Contender]:
    """A video model in the forms that its file or folder has."""

    def contender(run: Run, runner: str, precision: str) -> Contender:
        forecast = VideoForecast(run, spec, str(path))
        return Contender(str(path), runner, precision, spec.context, 1, forecast)

    def simulated(graph: Graph) -> Contender:
        from zapdeploy.sim.functional import Network

        network, (output,) = Network.of(graph), graph.outputs
        run = lambda inputs: network.run(inputs)[output]  # noqa: E731
        return contender(run, SIMULATOR, _graph_precision(graph))

    if is_video_folder(path):
        yield contender(run_in_torch(path), TORCH, "float")
    elif path.suffix == ".onnx":
        session, bits = contender_session(path), _stored_bits(path)
        precision = _precision(bits) if bits else model_facts(path).precision
        yield contender(lambda i: session.run(None, dict(i))[0], ONNXRUNTIME, precision)
        if simulate and precision != FLOAT32:
            yield simulated(_imported(path)[0])
    else:
        from zapdeploy.compile.multichip.pipeline_file import load_pipeline

        yield simulated(load_pipeline(path).graph)


def _graph_precision(graph: Graph) -> str:
    weights = [v.element for v in graph.values.values() if v.is_constant and v.quantization]
    return _precision({element.bits for element in weights if element.bits <= 8})


def _onnx_contender(path: Path, neurons: int) -> Contender:
    bits = _stored_bits(path)
    precision = _precision(bits) if bits else model_facts(path).precision
    session = contender_session(path)
    shapes = session_shapes(session)
    names = named_inputs(shapes, str(path), neurons)

    def run(inputs: Mapping[str, Floats]) -> Floats:
        found: Floats = session.run(None, dict(inputs))[0]
        return found

    first = shapes[names[0]]
    notes = session.get_modelmeta().custom_metadata_map
    forecast = _around(_in_batches(run, names, shapes), notes, str(path), neurons)
    columns = noted_columns(notes, str(path))
    horizon = int(session.get_outputs()[0].shape[1])
    return Contender(
        str(path), ONNXRUNTIME, precision, first[1], first[0], forecast, columns, horizon
    )


def _simulated_contender(
    path: Path, graph: Graph, notes: Mapping[str, str], neurons: int
) -> Contender:
    from zapdeploy.sim.functional import Network

    precision = _graph_precision(graph)
    shapes = {name: graph.values[name].shape for name in graph.inputs}
    names = named_inputs(shapes, str(path), neurons)
    network = Network.of(graph)

    def run(inputs: Mapping[str, Floats]) -> Floats:
        found: Floats = network.run(inputs)[graph.outputs[0]]
        return found

    first = shapes[names[0]]
    forecast = _around(_in_batches(run, names, shapes), notes, str(path), neurons)
    columns = noted_columns(notes, str(path))
    horizon = graph.values[graph.outputs[0]].shape[1]
    return Contender(
        str(path), SIMULATOR, precision, first[1], first[0], forecast, columns, horizon
    )


def _stored_bits(path: Path) -> set[int]:
    """The widths of the integer weights that an ONNX file holds; none in a float file."""
    from onnx import TensorProto

    kinds = (TensorProto.DataType.Name(t.data_type) for t in _weights(path))
    names = (name.removeprefix("U") for name in kinds)
    return {int(name.removeprefix("INT")) for name in names if name in ("INT8", "INT4", "INT2")}


def _weights(path: Path) -> list[Any]:
    """The initializers that have two axes or more."""
    return [t for t in load_model(path).graph.initializer if len(t.dims) > 1]


def _precision(bits: set[int]) -> str:
    """In short: "int8", or "int4+8" where layers differ."""
    return "int" + "+".join(map(str, sorted(bits))) if bits else "integer"


def _imported(path: Path) -> tuple[Graph, Mapping[str, str]]:
    """The file's integer graph, and what its metadata says."""
    from zapdeploy.compile.frontend import import_model

    imported = import_model(path)
    return imported.graph, imported.origin.notes


def contender_session(path: Path, *, threads: int | None = None, gpu: bool = False) -> Any:
    """The session that a forecaster's values are taken from; they are right on every processor."""
    narrow = min(_stored_bits(path), default=8) < 8
    purpose = Purpose.PLAIN if narrow else Purpose.INTEGER
    provider = GPU_PROVIDER if gpu else CPU_PROVIDER
    return open_session(path, purpose, threads=threads, provider=provider)


def session_shapes(session: Any) -> dict[str, tuple[int, ...]]:
    """Inputs by name; an open batch is 1."""
    return {
        value.name: tuple(size if isinstance(size, int) else 1 for size in value.shape)
        for value in session.get_inputs()
    }


def named_inputs(shapes: Shapes, where: str, neurons: int | None = None) -> tuple[str, ...]:
    """The input of traces, of so many neurons, then that of covariates if there is one."""
    stimuli = [name for name in shapes if name == COVARIATES_NAME] or list(shapes)[1:2]
    traces = [name for name in shapes if name not in stimuli]
    if len(traces) != 1 or len(shapes[traces[0]]) != 3:
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ModelError(
            f"model must have one input [batch, context, neurons], and may have one of covariates "
            f"[batch, horizon, any number], not {given} ({where})"
        )
    if neurons is not None and shapes[traces[0]][2] != neurons:
        raise _other_neurons(where, shapes[traces[0]][2], neurons)
    return (traces[0], *stimuli[:1])


def _in_batches(
    run: Callable[[Mapping[str, Floats]], Floats], names: tuple[str, ...], shapes: Shapes
) -> FromTraces:
    """A forecast for any number of windows, from a network with a batch of its own."""
    batch = shapes[names[0]][0]

    def forecast(contexts: Floats, covariates: Floats) -> Floats:
        results = []
        for first in range(0, len(contexts), batch):
            parts = [array[first : first + batch] for array in (contexts, covariates)]
            count = len(parts[0])
            filled = [np.concatenate([p, np.repeat(p[-1:], batch - count, 0)]) for p in parts]
            results.append(run(dict(zip(names, filled, strict=False)))[:count])
        return np.concatenate(results)

    return forecast


def _around(forecast: FromTraces, notes: Mapping[str, str], where: str, neurons: int) -> FromTraces:
    """With the normalisation that the file leaves to the host, where it does."""
    normalisation = host_normalisation(notes, where)
    if normalisation is None:
        return forecast
    if normalisation.scale.size != neurons:
        raise _other_neurons(where, normalisation.scale.size, neurons)

    def restored(contexts: Floats, covariates: Floats) -> Floats:
        normal, mean, deviation = normalisation.normalise(contexts)
        return normalisation.restore(forecast(normal, covariates), mean, deviation)

    return restored


def _other_neurons(where: str, found: int, wanted: int) -> DataError:
    return DataError(
        f"neurons must be the recording's {wanted}, not {found} ({where}); evaluate forecasters of "
        "one size at a time, or choose with --neurons"
    )
