"""zapdeploy train FORECASTER --data synthetic|PATH|URL -o DIR"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.forecasters.training import TrainingResult
    from zapdeploy.recordings.recording import Recording

CONTEXTS = (4, 256)


def add_to(app: typer.Typer) -> None:
    app.command("train", help=_train.__doc__)(_train)


def _train(
    forecaster: Annotated[
        str, typer.Argument(metavar="FORECASTER", help="linear, time-mix, tsmixer, tide, ...")
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="synthetic|zapbench|PATH|URL", help="The recording.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")],
    context: Annotated[
        int | None, typer.Option("--context", help="Frames of context: 4 or 256.")
    ] = None,
    neurons: Annotated[
        int | None, typer.Option("--neurons", help="The first so many (default: all).")
    ] = None,
    neuron_list: Annotated[
        Path | None, typer.Option("--neuron-list", metavar="FILE", help="Columns, one per line.")
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", help="Hidden width, if it has one.")
    ] = None,
    nlinear: Annotated[
        bool, typer.Option("--nlinear", help="Linear: forecast the change from the last frame.")
    ] = False,
    revin: Annotated[bool, typer.Option(help="Reversible instance normalisation.")] = True,
    steps: Annotated[int, typer.Option("--steps", help="Batches at most.")] = 20_000,
    batch: Annotated[int, typer.Option("--batch", help="Windows per batch.")] = 8,
    learning_rate: Annotated[float, typer.Option("--learning-rate")] = 1e-3,
    schedule: Annotated[
        str, typer.Option("--schedule", help="Of the rate: constant, or cosine over --steps.")
    ] = "constant",
    weight_decay: Annotated[float, typer.Option("--weight-decay")] = 1e-4,
    validate_every: Annotated[int, typer.Option("--validate-every", metavar="STEPS")] = 250,
    validation_windows: Annotated[
        int | None, typer.Option("--validation-windows", help="How many (default: all 469).")
    ] = None,
    patience: Annotated[
        int, typer.Option("--patience", help="Validations without improvement before it stops.")
    ] = 20,
    min_improvement: Annotated[
        float, typer.Option("--min-improvement", help="Of the validation MAE, to count as one.")
    ] = 1e-4,
    neurons_per_step: Annotated[
        int | None, typer.Option("--neurons-per-step", help="Linear and TiDE: draw so many.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", help="On the CPU (default: torch's own choice).")
    ] = None,
    nan_as_zero: Annotated[
        bool, typer.Option("--nan-as-zero", help="Count NaN in the traces as 0.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what DIR holds.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Train a forecaster; run it again after an interruption and it goes on where it stopped.

    Example: zapdeploy train tsmixer --context 4 --data synthetic --neurons 2000 -o tsmixer
    """
    from zapdeploy.forecasters.devices import choose_device, use_threads
    from zapdeploy.forecasters.extras import require
    from zapdeploy.forecasters.folder import ForecasterSpec
    from zapdeploy.forecasters.training import train
    from zapdeploy.forecasters.training_options import TrainingOptions
    from zapdeploy.recordings.recording import open_recording, read_neuron_list

    require("torch", "safetensors", "tensorstore")
    use_threads(threads)
    chosen = TrainingOptions(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        schedule=schedule,
        weight_decay=weight_decay,
        validate_every=validate_every,
        patience=patience,
        min_improvement=min_improvement,
        validation_windows=validation_windows,
        neurons_per_step=neurons_per_step,
        seed=seed,
        device=choose_device(device),
    )
    name = _name(forecaster, context)
    if neurons is not None and neuron_list is not None:
        raise UsageError("--neurons and --neuron-list must not be given together; choose one")
    ForecasterSpec(name, neurons or 1, width, revin, nlinear).check()
    with show.progress() as progress:
        recording = open_recording(
            data,
            neurons if neuron_list is None else read_neuron_list(neuron_list),
            nan_as_zero=nan_as_zero,
            progress=progress,
        )
        spec = ForecasterSpec(name, recording.neurons, width, revin, nlinear)
        if restart:
            _forget(output)
        result = train(spec, recording, output, chosen, progress=progress)
    document = _document(name, output, recording, result)
    if as_json:
        show.print_json(document)
        return 0
    _say(document, recording)
    return 0


def _document(
    name: str, output: Path, recording: Recording, result: TrainingResult
) -> dict[str, Any]:
    return {
        "forecaster": name,
        "folder": str(output),
        "data": recording.source,
        "synthetic": recording.is_synthetic,
        "neurons": recording.neurons,
        "parameters": result.parameters,
        "steps": result.steps,
        "best_step": result.best_step,
        "validation_mae": result.validation_mae,
        "stopped": result.stopped,
        "history": [{"step": step, "validation_mae": mae} for step, mae in result.history],
    }


def _name(forecaster: str, context: int | None) -> str:
    """ "tsmixer" with a context of 4 is "tsmixer-c4", which may also be given as it is."""
    from zapdeploy.forecasters.registry import find_forecaster, forecaster_families

    stem, _, ending = forecaster.rpartition("-c")
    if stem and ending.isdigit():
        name, own = find_forecaster(forecaster)[0].name, int(ending)
        if context not in (None, own):
            raise UsageError(f"--context must be {own} for {name}, not {context}; leave it out")
        return name
    if forecaster not in forecaster_families():
        known = ", ".join(forecaster_families())
        raise UsageError(f"forecaster must be one of {known}, not '{forecaster}'")
    given = CONTEXTS[0] if context is None else context
    if given not in CONTEXTS:
        raise UsageError(f"--context must be 4 or 256 frames, not {given}")
    return find_forecaster(f"{forecaster}-c{given}")[0].name


def _forget(folder: Path) -> None:
    from zapdeploy.forecasters.folder import DESCRIPTION, WEIGHTS
    from zapdeploy.forecasters.resuming import RESUME

    for name in (RESUME, DESCRIPTION, WEIGHTS):
        (folder / name).unlink(missing_ok=True)


def _say(document: dict[str, Any], recording: Recording) -> None:
    label = ", synthetic data" if recording.is_synthetic else ""
    print(
        f"wrote {document['folder']} ({document['forecaster']}, {recording.neurons:,} neurons, "
        f"{document['parameters']:,} parameters)"
    )
    print(
        f"validation MAE {document['validation_mae']:.5f} at step {document['best_step']} of "
        f"{document['steps']} (stopped: {document['stopped']}{label})"
    )
