"""Where torch computes."""

from __future__ import annotations

from zapdeploy.errors import UsageError


def choose_device(name: str) -> str:
    """The device: "auto" is a CUDA one where torch finds it. Raises UsageError for none."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, not '{name}'")
    available: bool = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("device must be cpu here, not cuda; torch finds no CUDA device")
    return "cuda" if available and name != "cpu" else "cpu"


def use_threads(count: int | None) -> None:
    """Have torch compute on so many threads of the CPU; None: on as many as it chooses.

    They wait asleep: threads that wait busily, as OpenMP's do unless told otherwise, slow a small
    network's step tenfold as soon as another process wants a core.
    """
    import os

    if count is not None and count < 1:
        raise UsageError(
            f"threads must be at least 1, not {count}; leave it out for torch's choice"
        )
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded
    import torch

    if count is not None:
        torch.set_num_threads(count)
