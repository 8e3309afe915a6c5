"""zapdeploy quantize MODEL.onnx --weights 8|4|2 --activations 8|4 -o OUT.onnx"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.cli import options, show


def add_to(app: typer.Typer) -> None:
    app.command("quantize", help=_quantize.__doc__)(_quantize)


def _quantize(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A float ONNX file.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT.onnx")],
    weights: Annotated[int, typer.Option("--weights", help="Bits of the weights: 8, 4 or 2.")] = 8,
    activations: Annotated[
        int, typer.Option("--activations", help="Bits of the activations: 8 or 4.")
    ] = 8,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", metavar="X.npz", help="Inputs, keyed by the model's names."),
    ] = None,
    keep_first_last: Annotated[
        int, typer.Option("--keep-first-last", help="Bits of the first and the last layer.")
    ] = 8,
    form: Annotated[
        str | None,
        typer.Option("--form", help="qdq, qoperator (8 bits only), qcdq, or packed (real INT4)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Quantize a float ONNX file after training; writes OUT.onnx and OUT.json, its record.

    Example: zapdeploy quantize net.onnx --weights 4 --activations 4 --calibration x.npz -o q.onnx
    """
    import json

    from zapdeploy.arrays import load_arrays
    from zapdeploy.files import atomic_write
    from zapdeploy.quantize import quantize_onnx

    record = quantize_onnx(
        model,
        output,
        weights=weights,
        activations=activations,
        form=form,  # type: ignore[arg-type]
        calibration=None if calibration is None else load_arrays(calibration),
        keep_first_last=keep_first_last,
        seed=seed,
    )
    with atomic_write(output.with_suffix(".json")) as file:
        file.write(record.to_json().encode())
    if as_json:
        show.print_json(json.loads(record.to_json()))
        return 0
    print(f"wrote {output} ({record.result_bytes / 1e6:.1f} MB, {record.recipe}, {record.form})")
    if record.calibration != "given":
        print("calibrated on random inputs: the accuracy means nothing; give --calibration X.npz")
    return 0
