"""What the recording was that a model was trained on, and how it was read, as the model says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zapdeploy.errors import ModelError
from zapdeploy.forecasters.folder import READ_KEY, is_forecaster_folder, read_training_data
from zapdeploy.recordings.description import Description, noted_description
from zapdeploy.recordings.options import ReadOptions, read_options
from zapdeploy.recordings.recording import IN_MEMORY, SYNTHETIC


def training_data(model: str) -> tuple[Description | None, ReadOptions]:
    """Of a folder, an ONNX or a .zap file; None and no options where it does not say, and of
    baselines.
    """
    path = Path(model)
    if is_forecaster_folder(path):
        return read_training_data(path)
    notes = noted(path)
    try:
        options = read_options(json.loads(notes.get(READ_KEY, "{}")))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"metadata '{READ_KEY}' must be reading options, not {type(error).__name__}: {error} "
            f"({model}); export the model again"
        ) from None
    return noted_description(notes, model), options


def noted(path: Path) -> dict[str, str]:
    """The metadata of an ONNX or a .zap file; nothing of anything else."""
    if path.suffix == ".onnx" and path.is_file():
        from zapdeploy.onnxruntime_sessions import Purpose, open_session

        return dict(open_session(path, Purpose.PLAIN).get_modelmeta().custom_metadata_map)
    if path.suffix == ".zap" and path.is_file():
        from zapdeploy.compile.multichip.pipeline_file import load_pipeline

        return dict(load_pipeline(path).origin.notes)
    return {}


def options_to_read(models: Sequence[str], given: ReadOptions) -> ReadOptions:
    """How to read a recording for these models: as the first was trained that says so, where
    nothing else was asked for.
    """
    asked = given.as_json()
    for model in models:
        known, options = training_data(model)
        if known is not None:
            return replace(options, **{k: getattr(given, k) for k in asked})
    return given


def data_to_read(model: str, given: str | None) -> tuple[str, ReadOptions]:
    """Where a model's recording is and how it is read: `given`, else what it was trained on, else
    the synthetic one.
    """
    known, options = training_data(model)
    nowhere = known is None or known.format == IN_MEMORY or known.source.startswith(SYNTHETIC)
    if given is not None or known is None or nowhere:
        return given or SYNTHETIC, options
    return known.source, options


def frame_rate_of(models: Sequence[str]) -> float | None:
    """Frames per second of the first model's recording that says it."""
    rates = (training_data(model)[0] for model in models)
    return next((known.frame_rate_hz for known in rates if known and known.frame_rate_hz), None)
