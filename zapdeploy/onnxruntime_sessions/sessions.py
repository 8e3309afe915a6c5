"""Opens sessions of ONNX Runtime, each with the options that its purpose asks for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.errors import ModelError, UsageError
from zapdeploy.onnxruntime_sessions.saturation import saturates
from zapdeploy.onnxruntime_sessions.unsigned_weights import with_unsigned_weights

if TYPE_CHECKING:
    import onnx
    import onnxruntime

CPU_PROVIDER = "CPUExecutionProvider"
GPU_PROVIDER = "CUDAExecutionProvider"
_SILENT = 4


class Purpose(Enum):
    """What a session is for.

    INTEGER: values by ONNX Runtime's integer kernels, which its optimizations put in the place of
    dequantize, operator, quantize; right on every processor. PLAIN: values with optimizations off,
    each node as ONNX defines it. CALIBRATION: as PLAIN, with the least memory. BASELINE: speed, as
    a user would have it by default, whether its values are right or not. SIMPLIFY: the optimized
    model, which keeps to standard operators.
    """

    INTEGER = "integer kernels"
    PLAIN = "optimizations off"
    CALIBRATION = "calibration"
    BASELINE = "baseline"
    SIMPLIFY = "basic optimizations"


def open_session(
    model: Path | bytes | onnx.ModelProto,
    purpose: Purpose,
    *,
    folder: Path | None = None,
    threads: int | None = None,
    provider: str = CPU_PROVIDER,
    optimized: Path | None = None,
    weights: Mapping[str, onnxruntime.OrtValue] | None = None,
    name: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A session for a file, or for a model in memory whose external data are in `folder`.

    threads: None is ONNX Runtime's own choice. optimized: where to write the optimized model down.
    weights: initializers that are handed over in memory. name: what messages call it. Raises
    ModelError where ONNX Runtime refuses the model, UsageError where the provider is not there.
    """
    import onnxruntime

    if isinstance(model, Path):
        folder = model.parent
    options = _options(purpose, threads, folder, optimized)
    if weights:
        options.add_external_initializers(list(weights), list(weights.values()))
    source = model
    valued = purpose in (Purpose.INTEGER, Purpose.PLAIN)
    if valued and provider == CPU_PROVIDER and saturates():
        source = _unsaturated(model, folder)
    try:
        session = onnxruntime.InferenceSession(_handed(source), options, providers=[provider])
    except run_time_errors() as error:
        name = name or (model if isinstance(model, Path) else None)
        where = f" ({name})" if name else ""
        raise ModelError(
            f"model must be one that ONNX Runtime loads, not refused: {reason(error)}{where}; "
            "check it with onnx.checker"
        ) from None
    if session.get_providers()[0] != provider:
        raise UsageError(
            f"provider must be {provider}, not {session.get_providers()[0]}, which "
            "ONNX Runtime fell back to; check the driver with zapdeploy doctor"
        )
    return session


def run_time_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a model or inputs that it does not take; no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented")
    own = (getattr(state, name) for name in (*names, "EPFail", "NoSuchFile", "NoModel"))
    return (RuntimeError, ValueError, state.RuntimeException, *own)


def reason(error: Exception) -> str:
    """The first line of what ONNX Runtime says."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def _options(
    purpose: Purpose, threads: int | None, folder: Path | None, optimized: Path | None
) -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    options.intra_op_num_threads = threads or 0
    if threads is not None:
        options.inter_op_num_threads = 1
    if purpose in (Purpose.PLAIN, Purpose.CALIBRATION):
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    if purpose is Purpose.CALIBRATION:
        # No arena, in which it would keep the most that each part ever took; no threads that spin
        # while the values are looked at.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    if purpose is Purpose.SIMPLIFY:
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.graph_optimization_level = level
    if purpose is Purpose.INTEGER:
        # Narrow weights of a MatMul: float32, not the default approximation with 8-bit inputs.
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    if folder is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(folder.resolve())
        )
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", optimized.name + ".data"
        )
    return options


def _unsaturated(
    model: Path | bytes | onnx.ModelProto, folder: Path | None
) -> Path | bytes | onnx.ModelProto:
    """The model in a form whose sums are right here; as it is where its sums cannot go wrong."""
    import onnx

    loaded: Any = model
    try:
        if isinstance(model, Path):
            loaded, folder = onnx.load(model, load_external_data=False), model.parent
        elif isinstance(model, bytes):
            loaded = onnx.load_from_string(model)
        if folder is not None:
            loaded = _with_small_weights(loaded, folder)
        changed = with_unsigned_weights(loaded)
    except Exception:  # a file that is none: ONNX Runtime says why
        return model
    return model if changed is loaded and isinstance(model, Path) else changed


def _with_small_weights(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """With what is 8 bits wide read from its files: only that can change."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

    loaded = onnx.ModelProto()
    loaded.CopyFrom(model)
    for tensor in loaded.graph.initializer:
        if uses_external_data(tensor) and tensor.data_type in (2, 3):
            load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return loaded


def _handed(model: Path | bytes | onnx.ModelProto) -> str | bytes:
    """What ONNX Runtime takes: a path, or the serialized model."""
    if isinstance(model, Path):
        return str(model)
    return model if isinstance(model, bytes) else serialized(model)


def serialized(model: onnx.ModelProto) -> bytes:
    """A model as ONNX Runtime takes it from memory. Raises ModelError for one that is too large."""
    try:
        content: bytes = model.SerializeToString()
    except ValueError:
        raise ModelError(
            "model must be under 2 GiB to be handed to ONNX Runtime, not larger; "
            "keep its weights in a file of their own (external data)"
        ) from None
    return content
