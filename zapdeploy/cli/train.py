"""zapdeploy train FORECASTER --data synthetic|PATH|URL -o DIR"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapdeploy.cli import options, show
from zapdeploy.cli.train_video import VideoRequest, train_video_network
from zapdeploy.errors import UsageError

if TYPE_CHECKING:
    from zapdeploy.forecasters.folder import ForecasterSpec
    from zapdeploy.forecasters.training import TrainingResult
    from zapdeploy.forecasters.training_options import TrainingOptions
    from zapdeploy.forecasters.wiring import WiredOptions
    from zapdeploy.recordings.recording import Recording


def add_to(app: typer.Typer) -> None:
    app.command("train", help=_train.__doc__)(_train)


def _train(
    forecaster: Annotated[
        str, typer.Argument(metavar="FORECASTER", help="linear, low-rank, tsmixer, gru, ...")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="PATH|URL|synthetic|zapbench",
            help="The recording: suite2p, NWB, CaImAn, zarr, HDF5, .mat, .npy, .npz, .csv, ...",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")],
    context: Annotated[
        int | None, typer.Option("--context", help="Frames of context (16; ZAPBench: 4 or 256).")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option("--horizon", help="Frames to forecast (default 32).")
    ] = None,
    neurons: options.NeuronCount = None,
    neuron_list: options.NeuronList = None,
    width: Annotated[
        int | None, typer.Option("--width", help="Hidden width, if it has one.")
    ] = None,
    nlinear: Annotated[
        bool, typer.Option("--nlinear", help="Linear: forecast the change from the last frame.")
    ] = False,
    scaling: Annotated[
        str | None,
        typer.Option(
            "--scaling",
            help="Of each neuron, on the host: robust, or none (default: robust; ZAPBench: none).",
        ),
    ] = None,
    revin: Annotated[bool, typer.Option(help="Reversible instance normalisation.")] = True,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Batches at most (default: from the recording).")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Windows per batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate")] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", help="The rate over --steps: constant, or cosine."),
    ] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay")] = None,
    validate_every: Annotated[int | None, typer.Option("--validate-every", metavar="STEPS")] = None,
    validation_windows: Annotated[
        int | None, typer.Option("--validation-windows", help="How many to validate on.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option("--patience", help="Validations without improvement before it stops."),
    ] = None,
    min_improvement: Annotated[
        float | None,
        typer.Option("--min-improvement", help="Of the validation MAE, to count as one."),
    ] = None,
    neurons_per_step: Annotated[
        int | None, typer.Option("--neurons-per-step", help="Linear and TiDE: draw so many.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", help="Train N times; DIR is the best on validation data."
        ),
    ] = 1,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", help="On the CPU (default: torch's own choice).")
    ] = None,
    path: options.SeriesPath = None,
    axes: options.Axes = None,
    frame_rate: options.RecordingRate = None,
    unit: options.Unit = None,
    neuropil: options.Neuropil = None,
    dff: options.Dff = None,
    bin_rate: options.BinRate = None,
    average: options.Average = None,
    nan: options.Nan = None,
    nan_as_zero: options.NanAsZero = False,
    stimuli: options.Stimuli = None,
    behavior: options.Behavior = None,
    conditions: options.Conditions = None,
    hold_out: options.HoldOut = None,
    all_rois: options.AllRois = False,
    connectome: options.ConnectomePath = None,
    neuron_table: options.NeuronTable = None,
    edges: options.Edges = "strict",
    least_synapses: options.LeastSynapses = 0.0,
    ordering: options.OrderingMethod = None,
    control: Annotated[
        str,
        typer.Option("--control", help="Wired: the edges wired, shuffled, by distance, or none."),
    ] = "wired",
    message_steps: Annotated[
        int, typer.Option("--message-steps", help="Wired: along edges, 1 to 4.")
    ] = 1,
    gains: Annotated[
        str, typer.Option("--gains", help="Wired: learnt for each pair of types, or each edge.")
    ] = "type",
    free_signs: Annotated[
        bool, typer.Option("--free-signs", help="Wired: weights may change their sign.")
    ] = False,
    global_state: Annotated[
        int, typer.Option("--global-state", help="Wired: numbers of a pooled state of all neurons.")
    ] = 0,
    crop: Annotated[
        str | None,
        typer.Option("--crop", metavar="D,H,W", help="Video model: voxels of a sample (all)."),
    ] = None,
    blocks: Annotated[
        int | None, typer.Option("--blocks", help="Video model: residual blocks (2).")
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what DIR holds.")] = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Train a forecaster; run it again after an interruption and it goes on where it stopped.

    Example: zapdeploy train tsmixer --data suite2p/plane0 --context 16 -o tsmixer
    """
    from zapdeploy.forecasters.devices import choose_device, use_threads
    from zapdeploy.forecasters.extras import require
    from zapdeploy.forecasters.seeds import train_seeds
    from zapdeploy.recordings.recording import open_recording, read_neuron_list

    require("torch", "safetensors", "tensorstore")
    use_threads(threads)
    if forecaster == "video-nunet":
        return train_video_network(
            VideoRequest(data, output, context, width, blocks, crop, seed, device, restart),
            {
                "steps": steps,
                "batch": batch,
                "learning_rate": learning_rate,
                "schedule": schedule,
                "weight_decay": weight_decay,
                "validate_every": validate_every,
                "patience": patience,
                "min_improvement": min_improvement,
            },
            as_json=as_json,
        )
    if crop is not None or blocks is not None:
        raise UsageError(f"--crop and --blocks must go with video-nunet, not with {forecaster}")
    family, own_context = _family(forecaster, context)
    if neurons is not None and neuron_list is not None:
        raise UsageError("--neurons and --neuron-list must not be given together; choose one")
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {seeds}")
    given = {
        "steps": steps,
        "batch": batch,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "validate_every": validate_every,
        "patience": patience,
        "min_improvement": min_improvement,
        "validation_windows": validation_windows,
        "neurons_per_step": neurons_per_step,
        "device": choose_device(device),
    }
    reading = options.read_options(
        path, axes, frame_rate, unit, neuropil, dff, bin_rate, average, nan, nan_as_zero, stimuli,
        behavior, conditions, hold_out, all_rois,
    )  # fmt: skip
    _check_early(family, own_context, neurons, width, nlinear, scaling, given)
    told = _wired_options(
        family, connectome, control, message_steps, gains, free_signs, global_state
    )
    with show.progress() as progress:
        recording = open_recording(
            data,
            neurons if neuron_list is None else read_neuron_list(neuron_list),
            options=reading,
            progress=progress,
        )
        wiring, matched = None, None
        if told is not None and connectome is not None:
            from zapdeploy.connectomes.options import EdgeOptions
            from zapdeploy.connectomes.reading import open_connectome
            from zapdeploy.forecasters.wired_recording import wire_recording

            read = open_connectome(connectome, EdgeOptions(neuron_table, edges, least_synapses))
            recording, wiring, matched = wire_recording(recording, read, told, ordering)
        spec = _spec(family, own_context, horizon, recording, width, revin, nlinear, scaling)
        chosen = _training_options(recording, spec, given, seed)
        if restart:
            _forget(output)
        results = train_seeds(
            spec, recording, output, chosen, seeds, wiring=wiring, progress=progress
        )
    document = _document(spec, output, recording, results)
    if matched is not None and told is not None:
        document["wiring"] = {**vars(told), **matched.as_json()}
    if as_json:
        show.print_json(document)
        return 0
    _say(document, recording)
    for line in () if matched is None else matched.lines:
        print(f"  {line}")
    return 0


def _wired_options(
    family: str,
    connectome: str | None,
    control: str,
    steps: int,
    gains: str,
    free_signs: bool,
    state: int,
) -> WiredOptions | None:
    """How a wiring is used, where the forecaster is held to one."""
    from zapdeploy.forecasters.registry import FAMILIES
    from zapdeploy.forecasters.wiring import WiredOptions

    if FAMILIES[family].wired != (connectome is not None):
        raise UsageError(
            f"{family} must have --connectome PATH, not none"
            if connectome is None
            else f"--connectome must go with wired, not with {family}; leave it out"
        )
    return (
        None if connectome is None else WiredOptions(control, steps, gains, not free_signs, state)
    )


def _spec(
    family: str,
    context: int | None,
    horizon: int | None,
    recording: Recording,
    width: int | None,
    revin: bool,
    nlinear: bool,
    scaling: str | None,
) -> ForecasterSpec:
    """What is trained: as asked for, and otherwise as the recording suggests."""
    from zapdeploy.forecasters import defaults
    from zapdeploy.forecasters.build import check_forecaster
    from zapdeploy.forecasters.folder import ForecasterSpec
    from zapdeploy.forecasters.registry import FAMILIES

    frames = context or defaults.default_context(recording)
    name = f"{family}-c{frames}"
    reads = FAMILIES[family].covariates
    covariates = int(recording.stimuli.shape[1])
    if reads and not covariates:
        raise UsageError(
            f"{family} must have covariates to read, and the recording has none; give --stimuli "
            "FILE or --behavior FILE, or take residual-mlp"
        )
    chosen = scaling or defaults.default_scaling(recording)
    spec = ForecasterSpec(
        name,
        recording.neurons,
        width if width is not None else defaults.default_width(name, recording),
        revin and chosen == "none",
        nlinear,
        horizon=horizon or defaults.default_horizon(recording),
        covariates=covariates if reads and not recording.is_zapbench else None,
        scaling=chosen,
    )
    check_forecaster(spec)
    return spec


def _check_early(
    family: str,
    context: int | None,
    neurons: int | None,
    width: int | None,
    nlinear: bool,
    scaling: str | None,
    given: dict[str, Any],
) -> None:
    """Refuse what is wrong whatever the recording, before it is read."""
    from zapdeploy.forecasters.build import check_forecaster
    from zapdeploy.forecasters.folder import ForecasterSpec
    from zapdeploy.forecasters.training_options import TrainingOptions

    if scaling not in (None, "robust", "none"):
        raise UsageError(f"--scaling must be robust or none, not '{scaling}'")
    if context is not None and context < 1:
        raise UsageError(f"--context must be at least 1 frame, not {context}")
    check_forecaster(
        ForecasterSpec(f"{family}-c{context or 4}", neurons or 1, width, True, nlinear)
    )
    TrainingOptions(**{name: value for name, value in given.items() if value is not None})


def _training_options(
    recording: Recording, spec: ForecasterSpec, given: dict[str, Any], seed: int
) -> TrainingOptions:
    from dataclasses import replace

    from zapdeploy.forecasters.defaults import default_options

    plain = default_options(recording, spec.context, spec.horizon)
    asked = {name: value for name, value in given.items() if value is not None}
    return replace(plain, **asked, seed=seed)


def _document(
    spec: ForecasterSpec, output: Path, recording: Recording, results: list[TrainingResult]
) -> dict[str, Any]:
    result = min(results, key=lambda one: one.validation_mae)
    return {
        "forecaster": spec.name,
        "folder": str(output),
        "data": recording.source,
        "synthetic": recording.is_synthetic,
        "recording": recording.description.as_json(),
        "unit": recording.unit,
        "neurons": recording.neurons,
        "context": spec.context,
        "horizon": spec.horizon,
        "scaling": spec.scaling,
        "parameters": result.parameters,
        "steps": result.steps,
        "best_step": result.best_step,
        "validation_mae": result.validation_mae,
        "seeds": [one.validation_mae for one in results],
        "stopped": result.stopped,
        "history": [{"step": step, "validation_mae": mae} for step, mae in result.history],
    }


def _family(forecaster: str, context: int | None) -> tuple[str, int | None]:
    """Family and context: "tsmixer-c4" may be given as it is; None: the recording's default."""
    from zapdeploy.forecasters.registry import forecaster_families

    stem, _, ending = forecaster.rpartition("-c")
    if stem in forecaster_families() and ending.isdigit():
        if context not in (None, int(ending)):
            raise UsageError(
                f"--context must be {ending} for {forecaster}, not {context}; leave it out"
            )
        return stem, int(ending)
    if forecaster not in forecaster_families():
        known = ", ".join(forecaster_families())
        raise UsageError(f"forecaster must be one of {known}, not '{forecaster}'")
    return forecaster, context


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
        f"validation MAE {document['validation_mae']:.5f} {recording.unit} at step "
        f"{document['best_step']} of {document['steps']} (stopped: {document['stopped']}{label})"
    )
    found = document["seeds"]
    if len(found) > 1:
        print(
            f"{len(found)} seeds: validation MAE {min(found):.5f} to {max(found):.5f}; the best is "
            f"in {document['folder']}, each in {document['folder']}/seeds"
        )
    for step in recording.description.processing:
        print(f"  {step}")
