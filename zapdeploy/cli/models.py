"""zapdeploy models list | export NAME -o FILE.onnx"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zapdeploy.cli import options, show

_verbs = typer.Typer(help="Networks to deploy: list them, export them.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_verbs, name="models")


@_verbs.command("list")
def _list(
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """List the networks that can be exported. Example: zapdeploy models list"""
    from dataclasses import asdict

    from zapdeploy.forecasters import list_models

    models = list_models()
    if as_json:
        show.print_json([asdict(model) for model in models])
        return 0
    rows = [(m.name, m.kind, m.summary) for m in models]
    show.print_table(show.table("", ("model", "kind", "what it is"), rows))
    return 0


@_verbs.command("export")
def _export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="resnet50, tsmixer-c4, ...")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.onnx")],
    neurons: Annotated[int, typer.Option("--neurons", help="Neurons of a forecaster.")] = 71_721,
    width: Annotated[
        int | None, typer.Option("--width", help="Hidden width of a forecaster.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Frames per batch.")] = 1,
    revin: Annotated[
        bool,
        typer.Option(
            help="Keep a forecaster's normalization by its own mean and deviation in the file."
            " Without it, normalize on the host: the chip then takes 8-bit inputs."
        ),
    ] = True,
    seed: Annotated[int, typer.Option("--seed", help="Seed of random weights.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="Trained weights (.safetensors, .pt).")
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option("--sample-inputs", metavar="X.npz", help="Also write inputs to run it on."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", help="How many of them.")] = 8,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Write a network as float ONNX. Example: zapdeploy models export resnet50 -o resnet50.onnx

    Without a checkpoint the weights are random. --sample-inputs writes real photographs for
    resnet50 and synthetic dF/F windows for forecasters.
    """
    from zapdeploy.forecasters import export_model

    export_model(
        name,
        output,
        neurons=neurons,
        width=width,
        batch=batch,
        seed=seed,
        checkpoint=checkpoint,
        revin=revin,
    )
    written = [output]
    if inputs is not None:
        _write_samples(name, inputs, samples, seed, neurons)
        written.append(inputs)
    if as_json:
        show.print_json({"model": name, "files": [str(path) for path in written]})
    else:
        print("\n".join(f"wrote {path}" for path in written))
    return 0


def _write_samples(name: str, path: Path, samples: int, seed: int, neurons: int) -> None:
    from zapdeploy.arrays import save_arrays
    from zapdeploy.forecasters import sample_inputs

    save_arrays(path, sample_inputs(name, samples, seed, neurons=neurons))
