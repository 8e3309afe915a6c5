"""Networks on simulated chips beside this machine and published results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zapdeploy.benchmarks import BenchmarkRequest, BenchmarkResult, ModelSize, run_benchmark
from zapdeploy.benchmarks.accuracy.training_data import frame_rate_of
from zapdeploy.benchmarks.request import QUICK, Effort
from zapdeploy.benchmarks.run import output_folder
from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.progress import Progress

Answered = Callable[[BenchmarkResult], None]


def bench(
    output: str | Path,
    *,
    models: Sequence[str] = ("resnet50", "tsmixer-c4"),
    targets: Sequence[str] = ("northpole-sim", "cpu"),
    precisions: Sequence[str] = ("fp32", "int8", "int4"),
    frame_rate_hz: float | None = None,
    neurons: int | None = None,
    data: str | None = None,
    recorded: Sequence[str | Path] = (),
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    quick: bool = False,
    resume: bool = False,
    progress: Progress = lambda what, done, total: None,
    answered: Answered = lambda result: None,
) -> BenchmarkResult:
    """Simulate, measure and compare; what is finished lies in `output` and is not run again.

    Args:
        output: The folder of the results, made where it is not there.
        models: Names of zapdeploy's networks, folders that training wrote, or ONNX files.
        targets: "cpu", "gpu", names of chips, or the paths of their TOML files.
        precisions: Of "fp32", "fp16", "int8" and "int4".
        frame_rate_hz: The microscope's, for deadlines and for energy with waiting included.
        neurons: Of forecasters; by default all 71,721 of ZAPBench.
        data: The recording that trained forecasters are judged on; by default the one they
            were trained on.
        recorded: Folders of results from other machines, whose measured rows are added.
        shapes: Lengths of inputs that ONNX files leave open beside the batch, by the inputs' names.
            A copy with these lengths is written into `output`, and stands for the file.
        quick: Measure for about a second each; every figure then stands with its spread.
        resume: Keep the finished rows of an earlier run in `output`.
        progress: Called with what is done, how far, of how much.
        answered: Called with what there is once all networks have run one frame at a time.

    Raises:
        UsageError: The call or the folder is wrong; nothing has run then.
        TargetError: A chip is not known, or its file is wrong.
    """
    rate = frame_rate_hz or frame_rate_of(tuple(models))
    models = _with_lengths(models, shapes or {}, Path(output))
    request = BenchmarkRequest(
        models=tuple(models),
        targets=tuple(targets),
        precisions=tuple(precisions),
        frame_rate_hz=rate,
        size=ModelSize(neurons=neurons),
        effort=QUICK if quick else Effort(),
        data=data,
        recorded=tuple(str(folder) for folder in recorded),
    )
    return run_benchmark(request, output, resume=resume, progress=progress, answered=answered)


def _with_lengths(
    models: Sequence[str], shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> list[str]:
    """The models; for ONNX files that have inputs of these names, copies with these lengths.

    Raises UsageError for a name that no file has.
    """
    if not shapes:
        return list(models)
    from zapdeploy.benchmarks.models.onnx_model import load_model
    from zapdeploy.simplify import InputShapes, simplify

    left, found = set(shapes), list[str]()
    for name in models:
        model = load_model(Path(name)) if name.endswith(".onnx") else None
        inputs = set() if model is None else {value.name for value in model.graph.input}
        given = {key: lengths for key, lengths in shapes.items() if key in inputs}
        if model is None or not given:
            found.append(name)
            continue
        left -= set(given)
        settled = simplify(model, InputShapes(None, given), keep_batch=True).model
        lengths = "-".join("x".join(map(str, one)) for one in given.values())
        copy = output_folder(folder) / f"{Path(name).stem}-{lengths}.onnx"
        with atomic_write(copy) as file:
            file.write(settled.SerializeToString())
        found.append(str(copy))
    if left:
        raise UsageError(
            f"--shape must name an input of one of the files in --models, not '{min(left)}'"
        )
    return found
