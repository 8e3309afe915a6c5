"""What a file leaves to the host, found in its metadata by whoever runs it.

base.py      what every such part can do, with and without memory of its own
revin.py     reversible instance normalisation: by each window's own mean and spread
scaling.py   each neuron's fixed centre and spread
golden.py    an input and its output, to verify a network with
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.host_part.base import HostNormalisation, Notes, Workspace
from zapdeploy.host_part.revin import RevIN, noted_revin
from zapdeploy.host_part.scaling import FixedScaling, noted_scaling

__all__ = [
    "FixedScaling",
    "HostNormalisation",
    "RevIN",
    "Workspace",
    "host_normalisation",
    "normalised_inputs",
]


def host_normalisation(notes: Notes, where: str) -> HostNormalisation | None:
    """What a file's metadata leaves to the host; None where that is nothing.

    Raises ModelError when the entry is damaged.
    """
    return noted_revin(notes, where) or noted_scaling(notes, where)


def normalised_inputs(
    arrays: Mapping[str, Floats], normalisation: HostNormalisation | None
) -> dict[str, Floats]:
    """The inputs as the network is given them: traces [count, context, neurons] normalised."""
    if normalisation is None:
        return dict(arrays)
    neurons = normalisation.scale.size
    return {
        name: normalisation.normalise(np.asarray(values, np.float32))[0]
        if values.ndim == 3 and values.shape[2] == neurons
        else values
        for name, values in arrays.items()
    }
