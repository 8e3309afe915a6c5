"""zapdeploy models list | export NAME -o FILE.onnx"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zapdeploy.cli import options, show

_commands = typer.Typer(help="Networks to deploy: list them, export them.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.add_typer(_commands, name="models")


@_commands.command("list")
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


@_commands.command("export")
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
            help="Keep a forecaster's reversible normalisation in the file. Without, it is left to"
            " the host, which the file says: a chip then takes 8-bit inputs."
        ),
    ] = False,
    nlinear: Annotated[
        bool, typer.Option("--nlinear", help="Linear: forecast the change from the last frame.")
    ] = False,
    volume: Annotated[
        str | None,
        typer.Option("--volume", metavar="D,H,W", help="Voxels (video-unet; default: published)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of random weights.")] = 0,
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

    voxels = None if volume is None else options.voxels("--volume", volume)
    written = [output]
    with show.progress(not as_json) as progress:
        progress(f"exporting {name}", 0, 1)
        export_model(
            name,
            output,
            neurons=neurons,
            width=width,
            batch=batch,
            seed=seed,
            checkpoint=checkpoint,
            revin=revin,
            nlinear=nlinear,
            volume=voxels,
        )
        if inputs is not None:
            _write_samples(name, output, inputs, samples, seed=seed, neurons=neurons, volume=voxels)
            written.append(inputs)
    if as_json:
        show.print_json({"model": name, "files": [str(path) for path in written]})
    else:
        print("\n".join(f"wrote {path}" for path in written))
    return 0


def _write_samples(name: str, model: Path, path: Path, count: int, **size: Any) -> None:
    """Inputs as the file takes them: normalised, where it leaves that to the host."""
    from zapdeploy.arrays import save_arrays
    from zapdeploy.forecasters import sample_inputs
    from zapdeploy.forecasters.export import read_notes
    from zapdeploy.host_part import host_normalisation, normalised_inputs

    normalisation = host_normalisation(read_notes(model), str(model))
    inputs = sample_inputs(name, count, **size)
    save_arrays(path, normalised_inputs(inputs, normalisation))
