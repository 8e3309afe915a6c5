"""A small network, and a chip with few assumptions, so that a sensitivity takes a moment."""

from __future__ import annotations

import re
from pathlib import Path

from tests.benchmarks.examples import write_network
from zapdeploy.hardware_targets import target_text
from zapdeploy.quantize import quantize_onnx


def small_model(folder: Path, width: int = 8) -> Path:
    """Two matrix layers, the first of `width` x 16, at 8 bits."""
    path = folder / f"small{width}.onnx"
    quantize_onnx(write_network(folder / "float.onnx", width=width), path, weights=8)
    return path


def small_chip(folder: Path, **assumed: str) -> Path:
    """tile64-sim with nothing assumed but its energies and what is given: host_bandwidth="{...}".

    Its totals are left out, which the given numbers may contradict.
    """
    kept = []
    section = ""
    for line in target_text("tile64-sim")[1].splitlines():
        header = re.fullmatch(r"\[([\w.]+)\]", line)
        section = header[1] if header else section
        key = f"{section}.{line.partition('=')[0].strip()}".replace(".", "_")
        if section == "totals":
            continue
        if key in assumed:
            line = f"{line.partition('=')[0]}= {assumed[key]}"
        elif not section.startswith("energy") and 'kind = "assumed"' in line:
            line = re.sub(r'(, low = "[^"]*"|, high = "[^"]*"|, error = "[^"]*")', "", line)
            line = line.replace('kind = "assumed"', 'kind = "derived"')
            line = line.replace("why = ", "from = ")
        kept.append(line)
    path = folder / "chip.toml"
    path.write_text("\n".join(kept), encoding="utf-8")
    return path
