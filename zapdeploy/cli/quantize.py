"""zapdeploy quantize MODEL --weights 8|4|2|mixed --activations 8|4 -o OUT.onnx"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError
from zapdeploy.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zapdeploy.quantize import QuantizeRecord
    from zapdeploy.quantize.fidelity import Fidelity
    from zapdeploy.quantize.index_ranges import ActivationScales
    from zapdeploy.quantize.module_record import ModuleRecord


def add_to(app: typer.Typer) -> None:
    app.command("quantize", help=_quantize.__doc__)(_quantize)


def _quantize(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A float ONNX file, a folder from train, package.module:factory."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT.onnx")],
    weights: Annotated[
        str, typer.Option("--weights", help="Bits of the weights: 8, 4, 2 or mixed.")
    ] = "8",
    activations: Annotated[
        int, typer.Option("--activations", help="Bits of the activations: 8 or 4; mixed chooses.")
    ] = 8,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="X.npz",
            help="Inputs by the model's names, or an .npy (default: those in a folder from train).",
        ),
    ] = None,
    activation_scales: Annotated[
        str | None,
        typer.Option(
            "--activation-scales",
            help="auto, per-neuron or per-tensor (default: auto for torch, per-tensor for ONNX).",
        ),
    ] = None,
    keep_first_last: Annotated[
        int | None,
        typer.Option("--keep-first-last", help="Bits of the first and the last layer (default 8)."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--form", help="qdq, qoperator (8 bits only), qcdq, or packed (real INT4)."),
    ] = None,
    qat: Annotated[
        int | None,
        typer.Option("--qat", metavar="N_STEPS", help="Train the quantized torch module."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="A factory's weights (.safetensors, .pt state_dict)."),
    ] = None,
    powers_of_two: Annotated[
        bool, typer.Option("--powers-of-two", help="Scales that are powers of two (torch).")
    ] = False,
    percentile: Annotated[
        bool, typer.Option("--percentile", help="Ranges by percentile, not squared error (torch).")
    ] = False,
    rounding: Annotated[
        str | None,
        typer.Option("--rounding", help="Weights by nearest, gptq, or gpfq (torch)."),
    ] = None,
    shape: options.Shape = None,
    constant: options.Constant = None,
    batch: options.Batch = None,
    host: options.Host = None,
    target: options.Target = "northpole-sim",
    min_snr: Annotated[
        float | None,
        typer.Option(
            "--min-snr",
            metavar="DB",
            help="Least output SNR in dB (ONNX below 8 bits: 25; 0: equal bits everywhere).",
        ),
    ] = None,
    max_energy: Annotated[
        float | None,
        typer.Option("--max-energy", metavar="J", help="With mixed: the most energy per frame."),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option("--max-latency", metavar="S", help="With mixed: the most time per frame."),
    ] = None,
    activity: Annotated[
        bool,
        typer.Option(
            "--activity", help="With mixed: energy by the bits of the calibration inputs."
        ),
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="package:function",
            help="A function of outputs and inputs by name, shown for float and quantized (ONNX).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Quantize a float network; writes OUT.onnx and OUT.json, its record.

    Example: zapdeploy quantize net.onnx --weights 4 --activations 4 --calibration x.npz -o q.onnx

    An ONNX file needs no torch. A torch module (a folder from train, or package.module:factory,
    whose code is imported and run) is quantized with Brevitas; --qat trains it further, resuming
    where an interrupted training stopped. "mixed" chooses bits per layer for a target.
    """
    from zapdeploy.commands.quantize import quantize
    from zapdeploy.quantize import QuantizeRecord
    from zapdeploy.simplify import InputShapes

    with show.progress() as progress:
        record = quantize(
            model,
            output,
            weights=_bits(weights),
            activations=activations,
            calibration=calibration,
            activation_scales=_scales(activation_scales),
            keep_first_last=keep_first_last,
            form=form,  # type: ignore[arg-type]  # the recipe refuses what it does not know
            qat=qat,
            checkpoint=checkpoint,
            powers_of_two=powers_of_two,
            percentile=percentile,
            rounding=rounding,  # type: ignore[arg-type]
            shapes=InputShapes(batch, options.shapes_of(shape), options.constants_of(constant)),
            target=target,
            min_snr=min_snr,
            max_energy=max_energy,
            max_latency=max_latency,
            activity=activity,
            metric=metric,
            host=host or (),
            seed=seed,
            progress=progress,
        )
    if as_json:
        show.print_json(record.as_json())
    elif isinstance(record, QuantizeRecord):
        _say_file(record, output)
    else:
        _say_module(record, output)
    if isinstance(record, QuantizeRecord):
        return 1 if record.refusal else 0
    return 0 if record.agreed else 1


def _bits(weights: str) -> int | Literal["mixed"]:
    if weights == "mixed":
        return "mixed"
    if weights not in ("8", "4", "2"):
        raise UsageError(f"--weights must be 8, 4, 2 or mixed, not {weights!r}; choose one of them")
    return int(weights)


def _scales(text: str | None) -> ActivationScales | None:
    """The value of --activation-scales as the recipes spell it."""
    if text is None:
        return None
    spelled: dict[str, ActivationScales] = {
        "auto": "auto", "per-neuron": "per neuron", "per-tensor": "per tensor"
    }  # fmt: skip
    if text not in spelled:
        raise UsageError(
            f"--activation-scales must be {', '.join(spelled)}, not {text!r}; choose one of them"
        )
    return spelled[text]


def _say_file(record: QuantizeRecord, output: Path) -> None:
    print(f"wrote {output} ({record.result_bytes / 1e6:.1f} MB, {record.recipe}, {record.form})")
    if record.host:
        print(f"left to the host, in float: {', '.join(record.host)}")
    for note in record.notes:
        print(f"note: {note}")
    _say_choice(record)
    if record.float_layers:
        print(f"left in float: {', '.join(record.float_layers)}")
    if record.refusal:
        print(f"compile will refuse this file: {one_line(record.refusal)}", file=sys.stderr)
    _say_fidelity(record.fidelity, random=record.calibration != "given")
    if record.calibration != "given":
        print("calibrated on random inputs: the accuracy means nothing; give --calibration X.npz")


def _say_choice(record: QuantizeRecord) -> None:
    """How many layers have which bits, and the loss that they were chosen under."""
    choice = record.choice
    if choice is None or choice.asked_db is None or choice.aim is None:
        return
    counted = Counter((layer.weights, layer.inputs) for layer in record.layers)
    bits = ", ".join(f"{n} at {w}/{a}" for (w, a), n in sorted(counted.items()))
    print(f"bits of weights/activations by layer: {bits}")
    if choice.aim.limit_db < choice.asked_db - 0.05:
        print(
            f"note: 8 bits everywhere leave {choice.aim.limit_db + 1:.1f} dB, not "
            f"{choice.asked_db:g}; bits were chosen for {choice.aim.limit_db:.1f} dB"
        )


def _say_fidelity(found: Fidelity, *, random: bool) -> None:
    """Signal to noise of every output, and one line of warning where one lost its meaning."""
    from zapdeploy.quantize.fidelity import LOST_DB

    if random:
        return
    which = "held back" if found.held_back else "also calibrated on"
    snrs = ", ".join(f"{name} {snr:.1f} dB" for name, snr in found.snr_db.items())
    print(f"output SNR against float on {found.samples} inputs {which}: {snrs} (measured)")
    if found.metric is not None:
        print(f"metric: float {found.metric[0]:g}, quantized {found.metric[1]:g} (measured)")
    if found.lost:
        layers = ", ".join(
            f"{b.layer} ({b.read_db:.0f} dB before, {b.result_db:.0f} after)" for b in found.blame
        )
        print(
            f"warning: the quantized network lost its function ({', '.join(found.lost)} under "
            f"{LOST_DB:g} dB of signal to noise); the most is lost in {layers}",
            file=sys.stderr,
        )


def _say_module(record: ModuleRecord, output: Path) -> None:
    size, snr = record.result_bytes / 1e6, record.accuracy["output_snr_db"]
    recipe, form = record.recipe.name, record.form
    print(f"wrote {output} ({size:.2f} MB, {recipe}, {form}), output SNR {snr:.1f} dB (measured)")
    for name, part in record.agreement.items():
        who = "torch" if name == "onnxruntime" else "the functional simulator"
        verdict = "agrees" if part["passed"] else "DISAGREES"
        shares = f"{part['equal']:,} of {part['elements']:,} values are equal"
        print(f"{who} {verdict} with ONNX Runtime layer by layer: {shares}")
    if record.mixed is not None:
        _say_mixed(record.mixed)


def _say_mixed(mixed: Mapping[str, Any]) -> None:
    energy, uniform = mixed["energy_j"], mixed["uniform_int8"]["energy_j"]
    print(
        f"energy per frame {show.quantity(energy['compiled'], 'J', 4)} (modelled, of "
        f"{'these values' if mixed['energy_of'] == 'values' else 'random data'}; predicted "
        f"{show.quantity(energy['predicted'], 'J', 4)}), uniform int8 "
        f"{show.quantity(uniform, 'J', 4)}"
    )
    rows = [
        (show.quantity(p["energy_j"], "J", 4), show.quantity(p["latency_s"], "s"),
         f"{p['snr_db']:.1f}")
        for p in mixed["front"]
    ]  # fmt: skip
    columns = ("energy per frame (modelled)", "latency", "output SNR, dB (predicted)")
    show.print_table(show.table("Pareto front", columns, rows))
    if mixed["plot"] is None:
        print("no plot of it: Plotly is not installed; run: pip install 'zapdeploy[report]'")
