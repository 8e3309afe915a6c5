"""A 3-billion-parameter decoder at 4 bit over 16 cards, beside what IBM published of one.

    python -m zapdeploy.benchmarks.experiments.decoder_pipeline -o DIR

makes the network in parts (`decoder_parts`; needs the extra `models`), compiles it card by card in
a process of its own, whose peak memory is reported, and times it. One token of one sequence at a
time; the caches of all sequences stay on the cards.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zapdeploy.benchmarks.experiments.decoder_parts import DecoderPlan, make_parts
from zapdeploy.files import atomic_write

# "For a 3-billion-parameter LLM, a research prototype inference appliance with 16 IBM AIU NorthPole
# processors delivers [...] 28,356 tokens / second of system throughput and sub-1 ms / token
# (per-user) latency while consuming merely 672 W for 16 NorthPole cards". Sequence length, widths
# and the number of users are not in the abstract.
PUBLISHED = {
    "tokens_per_s": 28_356.0,
    "latency_s_at_most": 1e-3,
    "power_w": 672.0,
    "source": "Appuswamy et al., Breakthrough low-latency, high-energy-efficiency LLM inference "
    "performance using NorthPole, IEEE HPEC 2024, abstract",
}

_COMPILE = """
import json, sys
from zapdeploy.api import compile_model, simulate
from zapdeploy.platforms import peak_memory_bytes
program = compile_model(sys.argv[1], sys.argv[2], output=sys.argv[3])
if not program.fits:
    sys.exit(f"{program.model} does not fit: {program.violation}")
found = simulate(program, level="estimate").as_json()
found["peak_rss_bytes"] = peak_memory_bytes()
json.dump(found, sys.stdout)
"""


def compile_and_time(parts: Path, target: str, program: Path) -> dict[str, Any]:
    """The JSON of `simulate`, and `peak_rss_bytes` of a process that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", _COMPILE, str(parts), target, str(program)],
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compared(plan: DecoderPlan, parts: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Ours beside the published, each with its word."""
    sequences = found["sequences"]
    return {
        "parameters": plan.parameters,
        "tokens_kept": plan.tokens,
        "chips": found["chips"],
        "simulated": {
            "tokens_per_s": sequences["frames_per_s"],
            "sequences": sequences["most"],
            "tokens_per_s_alone": sequences["alone_fps"],
            "latency_s": found["latency_s"],
        },
        "modelled": {
            "power_w": found["power_w"],
            "energy_per_token_j": found["energy_per_frame_j"],
            "boundary": found["energy_boundary"],
        },
        "measured": {
            "peak_rss_bytes": found["peak_rss_bytes"],
            "network_bytes": sum(path.stat().st_size for path in parts.glob("*.onnx")),
        },
        "published": PUBLISHED,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder; 3 GB of files")
    parser.add_argument("--target", default="northpole-sim")
    parser.add_argument("--weights", type=int, default=4, choices=(8, 4, 2))
    parser.add_argument("--activations", type=int, default=8, choices=(8, 4))
    parser.add_argument("--layers", type=int, default=DecoderPlan.layers)
    parser.add_argument("--tokens", type=int, default=DecoderPlan.tokens, help="the caches hold")
    given = parser.parse_args(arguments)
    plan = DecoderPlan(layers=given.layers, tokens=given.tokens)
    given.output.mkdir(parents=True, exist_ok=True)
    parts = make_parts(plan, given.output, weights=given.weights, activations=given.activations)
    found = compile_and_time(parts, given.target, given.output / "decoder.zap")
    document = compared(plan, parts, found)
    with atomic_write(given.output / "decoder.json") as file:
        file.write(json.dumps(document, indent=2).encode())
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
