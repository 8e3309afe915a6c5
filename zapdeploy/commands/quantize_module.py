"""What `zapdeploy quantize` does with a torch module: find it, quantize it, check its file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zapdeploy.arrays import Arrays
from zapdeploy.errors import UsageError
from zapdeploy.files import atomic_write
from zapdeploy.host_part import normalised_inputs
from zapdeploy.progress import Progress
from zapdeploy.quantize.index_ranges import ActivationScales
from zapdeploy.quantize.mixed import Budget
from zapdeploy.quantize.module_record import ModuleRecord
from zapdeploy.quantize.recipes import ModuleRecipe, Rounding, recipe_of_bits

if TYPE_CHECKING:
    from torch import nn

    from zapdeploy.quantize.modules.build import Prepared, Quantized


@dataclass(frozen=True)
class ModuleJob:
    """One call of the command line; weights None stands for mixed."""

    model: str
    output: Path
    weights: int | None
    activations: int = 8
    keep_first_last: int = 8
    activation_scales: ActivationScales = "auto"
    form: Any = None
    training_steps: int | None = None
    checkpoint: Path | None = None
    powers_of_two: bool = False
    percentile: bool = False
    rounding: Rounding | None = None
    target: str = "northpole-sim"
    min_snr_db: float | None = None
    max_energy_j: float | None = None
    max_latency_s: float | None = None
    by_values: bool = False  # whether energies are those of the calibration inputs' bits
    seed: int = 0

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The limits that were given."""
        found = []
        if self.min_snr_db is not None:
            found.append(Budget("noise", 10 ** (-self.min_snr_db / 10)))
        if self.max_energy_j is not None:
            found.append(Budget("energy_j", self.max_energy_j))
        if self.max_latency_s is not None:
            found.append(Budget("latency_s", self.max_latency_s))
        return tuple(found)

    def recipe(self) -> ModuleRecipe:
        """The recipe of these options. Raises UsageError when they contradict each other."""
        if self.weights is not None and self.budgets:
            raise UsageError(
                "--min-snr, --max-energy and --max-latency must go with --weights mixed, not "
                f"{self.weights}; leave them out"
            )
        if self.weights is None and not self.budgets:
            raise UsageError(
                "--weights mixed must have a budget, not none; give --min-snr DB, --max-energy J "
                "or --max-latency S"
            )
        if self.weights is not None and self.by_values:
            raise UsageError(
                f"--activity must go with --weights mixed, not {self.weights}; leave it out"
            )
        base = recipe_of_bits(self.weights or 4, self.activations, self.keep_first_last)
        return replace(
            base,
            name="mixed" if self.weights is None else base.name,
            activation_scales=self.activation_scales,
            exponents=self.powers_of_two,
            calibration="percentile" if self.percentile else "mse",
            rounding=self.rounding or base.rounding,
        )


def check_file(path: Path, inputs: Arrays) -> dict[str, Any]:
    """The file in the functional simulator against ONNX Runtime, layer by layer."""
    from zapdeploy.compile.frontend import import_model
    from zapdeploy.sim.check import check

    found = check(import_model(path).graph, path, inputs)
    return {
        "reference": found.reference,
        "passed": found.passed,
        "elements": sum(node.elements for node in found.nodes),
        "equal": sum(node.equal for node in found.nodes),
        "max_lsb": max((node.max_lsb for node in found.nodes), default=0),
        "failures": list(found.failures),
        "output": {
            "elements": sum(o.elements for o in found.outputs),
            "equal": sum(o.equal for o in found.outputs),
        },
    }


def load_module(model: str, checkpoint: Path | None) -> nn.Module:
    """A forecaster's folder, or `package.module:factory` with the weights of a checkpoint."""
    from zapdeploy.forecasters.folder import is_forecaster_folder
    from zapdeploy.forecasters.loading import load_forecaster
    from zapdeploy.quantize import build_from_factory

    folder = Path(model)
    if folder.is_dir():
        if checkpoint is not None:
            raise UsageError("--checkpoint must go with a factory, not with a folder; leave it out")
        if not is_forecaster_folder(folder):
            raise UsageError(
                f"folder must be one that zapdeploy train wrote, not any other ('{model}')"
            )
        return load_forecaster(folder).network
    module = build_from_factory(model)
    if checkpoint is not None:
        from zapdeploy.forecasters.importing import load_checkpoint

        load_checkpoint(module, checkpoint, model)
    return module


def quantize_job(job: ModuleJob, calibration: Arrays, progress: Progress) -> ModuleRecord:
    """Quantize, write file and record, and return the record."""
    from zapdeploy.benchmarks.simulated.layer_costs import compiled_costs
    from zapdeploy.forecasters.folder import folder_notes
    from zapdeploy.forecasters.tsmixer import take_out_norm
    from zapdeploy.quantize import build, distill, prepare_module, write_module
    from zapdeploy.quantize.modules.training import TrainingPlan

    recipe = job.recipe()
    plan = None
    if job.training_steps is not None:
        plan = TrainingPlan(job.training_steps, seed=job.seed)
    if not job.output.absolute().parent.is_dir():
        raise UsageError(
            f"output must be in an existing folder, not {str(job.output)!r}; create it first"
        )
    module = load_module(job.model, job.checkpoint)
    normalisation = take_out_norm(module)  # a chip's host does it; the file says so
    inputs = normalised_inputs(calibration, normalisation)
    prepared = prepare_module(module, inputs)
    mixed = None
    if job.weights is None:
        values = inputs if job.by_values else None
        mixed, quantized = _mixed(job, prepared, recipe, values, progress)
    else:
        quantized = build(prepared, recipe, progress=progress)
    trained = None
    if plan is not None:
        folder = job.output.with_suffix(".training")
        trained = distill(prepared, quantized, plan, folder, progress)
    record = write_module(
        prepared,
        quantized,
        job.output,
        form=job.form,
        trained=trained,
        check=check_file,
        source=Path(job.model).name,
        notes=folder_notes(job.model) | ({} if normalisation is None else normalisation.notes()),
        seed=job.seed,
    )
    if mixed is not None:
        if job.by_values:  # whose bits the rounding on all inputs has changed a little
            final = compiled_costs(job.output, job.target, inputs)
            mixed["energy_j"]["compiled"] = final.energy_j
        record = replace(record, mixed=mixed)
        with atomic_write(job.output.with_suffix(".json")) as file:
            file.write(record.to_json().encode())
    return record


def _mixed(
    job: ModuleJob,
    prepared: Prepared,
    recipe: ModuleRecipe,
    values: Arrays | None,
    progress: Progress,
) -> tuple[dict[str, Any], Quantized]:
    """The least energy within the budgets, or the least noise where only costs are limited."""
    from zapdeploy.benchmarks.simulated.layer_costs import compiled_costs
    from zapdeploy.quantize.modules.mixed_search import draw_front, quantize_mixed

    objective = "energy_j" if job.min_snr_db is not None else "noise"
    found = quantize_mixed(
        prepared,
        recipe,
        job.budgets,
        partial(compiled_costs, target=job.target, values=values),
        objective=objective,  # type: ignore[arg-type]
        progress=progress,
    )
    page = job.output.with_suffix(".front.html")
    of_what = "bits of the calibration inputs" if values is not None else "random data"
    drawn = draw_front(found, page, of_what)
    document = {
        **found.as_json(),
        "energy_of": "values" if values is not None else "random data",
        "plot": page.name if drawn else None,
    }
    return document, found.quantized
