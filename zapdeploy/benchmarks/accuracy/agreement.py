"""How often a quantized image network chooses the class that it chooses in float.

Without trained weights there is no right class to choose, but what quantization changes can be
counted all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zapdeploy.arrays import Floats
from zapdeploy.benchmarks.models.workloads import Workload
from zapdeploy.onnxruntime_sessions import Purpose, open_session


@dataclass(frozen=True)
class Agreement:
    """share: of the images, where both choose the same. commonest: of the images, in the class that
    float chooses most often; choosing always that one would agree so often. snr_db: of the outputs,
    power in float over power of the difference; infinite where there is none.
    """

    images: int
    share: float
    commonest: float
    snr_db: float

    @property
    def text(self) -> str:
        return (
            f"{self.images} other crops of the calibration's photographs, {self.commonest:.0%} of "
            f"them one class in fp32; output SNR {self.snr_db:.1f} dB"
        )


def agreement(reference: Floats, found: Floats) -> Agreement:
    """Outputs [images, classes] of the float network and of another form of it."""
    choices = reference.argmax(axis=1)
    signal = np.square(reference, dtype=np.float64).sum()
    noise = np.square(found - reference, dtype=np.float64).sum()
    return Agreement(
        images=len(choices),
        share=float((found.argmax(axis=1) == choices).mean()),
        commonest=float(np.bincount(choices).max() / len(choices)),
        snr_db=float(10 * np.log10(signal / noise)) if noise else float("inf"),
    )


def unseen_images(workload: Workload, count: int) -> Floats:
    """Images of another seed than those that the network was made and calibrated with.

    float32 [count, 3, height, width].
    """
    from zapdeploy.forecasters import sample_inputs

    (images,) = sample_inputs(workload.network, count, workload.size.seed + 1).values()
    return images


def outputs(path: Path, images: Floats, *, simulate: bool = False) -> Floats:
    """What a network of one input and a batch of 1 says of every image: float32 [images, classes].

    simulate: in the functional simulator, else in ONNX Runtime.
    """
    run = _simulated(path) if simulate else _in_onnxruntime(path)
    return np.concatenate([run(image[None]) for image in images])


def _in_onnxruntime(path: Path) -> Callable[[Floats], Floats]:
    session = open_session(path, Purpose.INTEGER)
    (given,) = session.get_inputs()

    def run(image: Floats) -> Floats:
        found: Floats = session.run(None, {given.name: image})[0]
        return found

    return run


def _simulated(path: Path) -> Callable[[Floats], Floats]:
    from zapdeploy.compile.frontend import import_model
    from zapdeploy.sim.functional import Network

    graph = import_model(path).graph
    network, (given,), (result,) = Network.of(graph), graph.inputs, graph.outputs
    return lambda image: network.run({given: image})[result]
