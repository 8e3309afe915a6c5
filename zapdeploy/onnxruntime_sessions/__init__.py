"""The one place that opens ONNX Runtime sessions, by what they are for.

sessions.py         opens one: a reference, a baseline, a calibration run
saturation.py       whether this processor's kernels give wrong sums; found by trying
unsigned_weights.py the same network in a form whose sums are right on every processor
"""

from zapdeploy.onnxruntime_sessions.saturation import saturates
from zapdeploy.onnxruntime_sessions.sessions import (
    CPU_PROVIDER,
    GPU_PROVIDER,
    Purpose,
    open_session,
    reason,
    run_time_errors,
    serialized,
)
from zapdeploy.onnxruntime_sessions.unsigned_weights import with_unsigned_weights

__all__ = [
    "CPU_PROVIDER",
    "GPU_PROVIDER",
    "Purpose",
    "open_session",
    "reason",
    "run_time_errors",
    "saturates",
    "serialized",
    "with_unsigned_weights",
]
