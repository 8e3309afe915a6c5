"""Where torch computes."""

from __future__ import annotations

from zapdeploy.errors import UsageError


def choose_device(name: str) -> str:
    """ "auto" is a CUDA device where torch finds one; raises UsageError where there is none."""
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device must be auto, cpu or cuda, not '{name}'")
    available: bool = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("device must be cpu here, not cuda; torch finds no CUDA device")
    return "cuda" if available and name != "cpu" else "cpu"
