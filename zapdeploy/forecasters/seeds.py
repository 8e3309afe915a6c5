"""The same training from several seeds: how much a result owes to chance."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from zapdeploy.files import atomic_write
from zapdeploy.forecasters.folder import ForecasterSpec
from zapdeploy.forecasters.resuming import RESUME
from zapdeploy.forecasters.training import TrainingResult, train
from zapdeploy.forecasters.training_options import TrainingOptions
from zapdeploy.forecasters.wiring import Wiring
from zapdeploy.progress import Progress
from zapdeploy.recordings.recording import Recording

SEEDS = "seeds"  # the folder in a forecaster's folder that has one for each seed


def train_seeds(
    spec: ForecasterSpec,
    recording: Recording,
    folder: Path,
    options: TrainingOptions,
    count: int,
    *,
    wiring: Wiring | None = None,
    progress: Progress = lambda what, done, total: None,
) -> list[TrainingResult]:
    """Train from `count` seeds, each in a folder of its own, and put the one with the least error
    on the validation split in `folder`. One seed is trained in `folder` itself. Other arguments as
    for `train`; a shuffled wiring is another one for every seed.
    """
    if count == 1:
        return [train(spec, recording, folder, options, wiring=wiring, progress=progress)]
    results = []
    for index in range(count):
        seed = options.seed + index
        place = folder / SEEDS / str(seed)
        chosen = replace(options, seed=seed)
        results.append(train(spec, recording, place, chosen, wiring=wiring, progress=progress))
    best = min(range(count), key=lambda index: results[index].validation_mae)
    source = folder / SEEDS / str(options.seed + best)
    for path in source.iterdir():
        if path.is_file() and path.name != RESUME:
            shutil.copyfile(path, folder / path.name)
    with atomic_write(folder / f"{SEEDS}.json") as file:
        found = {options.seed + i: one.validation_mae for i, one in enumerate(results)}
        document = {"validation_mae": found, "best": options.seed + best}
        file.write(json.dumps(document, indent=2).encode() + b"\n")
    return results


def seed_folders(folder: Path) -> list[Path]:
    """The folders of all seeds; none where there was one seed."""
    place = folder / SEEDS
    return sorted(place.iterdir()) if place.is_dir() else []
