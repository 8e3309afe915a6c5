"""Combinations of precision and device that cannot give a number, whatever the model."""

from __future__ import annotations

from zapdeploy.benchmarks.measured.torch_runner import TORCH_PROVIDER
from zapdeploy.benchmarks.models.workloads import FLOAT, FLOAT16, INT4, INT8
from zapdeploy.benchmarks.request import GPU, WorkItem, is_core_array, is_event_driven
from zapdeploy.benchmarks.results.rows import NotRun
from zapdeploy.onnxruntime_sessions import CPU_PROVIDER, GPU_PROVIDER


def refusal(item: WorkItem, engines: tuple[str, ...]) -> NotRun | None:
    """Why there can be no row; None where there can. engines: what this machine has."""
    if is_core_array(item.target) or is_event_driven(item.target):
        if item.precision not in (FLOAT, FLOAT16):
            return None
        return not_run(item, f"{item.target} computes in integers: no {item.precision}")
    reason = _without_kernels(item)
    return not_run(item, reason) if reason else _without_engine(item, engines)


def not_run(item: WorkItem, reason: str, *, final: bool = True) -> NotRun:
    """What to keep of a combination that gives no numbers."""
    return NotRun(
        item.key, item.workload.name, item.precision, item.target, item.scenario, reason, final
    )


def _without_kernels(item: WorkItem) -> str:
    if item.precision == INT4:
        return "ONNX Runtime has no int4 kernels that compute in integers: its int4 runs in float"
    if item.target == GPU and item.precision == INT8:
        return "ONNX Runtime's CUDA provider has no int8 kernels: its int8 runs in float"
    if item.target != GPU and item.precision == FLOAT16:
        return "ONNX Runtime has no fp16 kernels for a CPU's matrix products: its fp16 runs in fp32"
    return ""


def _without_engine(item: WorkItem, engines: tuple[str, ...]) -> NotRun | None:
    if item.target == GPU and not {GPU_PROVIDER, TORCH_PROVIDER} & set(engines):
        why = (
            "not measured here: needs an NVIDIA GPU, and ONNX Runtime's CUDA provider (pip install "
            "onnxruntime-gpu) or torch with CUDA"
        )
        return not_run(item, why, final=False)
    if item.target != GPU and CPU_PROVIDER not in engines:
        return not_run(item, "needs ONNX Runtime: pip install onnxruntime", final=False)
    return None
