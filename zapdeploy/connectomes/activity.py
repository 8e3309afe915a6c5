"""Activity that a wiring makes: a rate model with noise, seen through a calcium indicator.

    r(t+1) = (1 - a) r(t) + a (tanh(W r(t)) + drive(t)) + noise(t),        a = dt / tau
    c(t+1) = (1 - b) c(t) + r(t+1)                                         b = dt / tau_calcium
    trace  = c + observation noise

W [post, pre] is sign x synapses x the gain of the pair of types, scaled so that its spectral radius
is GAIN. The gains are drawn from the seed, so that nobody who is given the wiring knows them. The
noise of each neuron is its own: what one neuron knows of another's future comes through W alone.
Whatever is computed from it must be labelled synthetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zapdeploy.connectomes.connectome import Connectome
from zapdeploy.errors import UsageError
from zapdeploy.progress import Progress
from zapdeploy.recordings.zapbench import FRAME_PERIOD_S

TAU_S = 2.0
TAU_CALCIUM_S = 3.0
GAIN = 1.1  # the spectral radius of W; tanh and the leak keep the rates bounded
PAIR_GAINS = (0.3, 1.7)  # between which the gain of a pair of types is drawn
PROCESS_NOISE, OBSERVATION_NOISE = 0.1, 0.02
WARM_UP = 100  # frames before the first
POWER_STEPS = 60


def synthetic_activity(
    connectome: Connectome,
    frames: int,
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> NDArray[np.float32]:
    """Traces float32 [frames, neurons]."""
    if frames < 1:
        raise UsageError(f"--frames must be at least 1, not {frames}")
    random = np.random.default_rng((seed, 12))
    weights = true_weights(connectome, seed)
    count = connectome.neurons
    leak, decay = FRAME_PERIOD_S / TAU_S, FRAME_PERIOD_S / TAU_CALCIUM_S
    rate, calcium = np.zeros(count, np.float32), np.zeros(count, np.float32)
    traces = np.empty((frames, count), np.float32)
    for step in range(-WARM_UP, frames):
        noise = PROCESS_NOISE * random.standard_normal(count, np.float32)
        rate = ((1 - leak) * rate + leak * np.tanh(weights @ rate) + noise).astype(np.float32)
        calcium = ((1 - decay) * calcium + rate).astype(np.float32)
        if step >= 0:
            traces[step] = calcium + OBSERVATION_NOISE * random.standard_normal(count, np.float32)
            if step % 100 == 0:
                progress("making activity", step, frames)
    return traces


def true_weights(connectome: Connectome, seed: int = 0) -> Any:
    """The matrix [post, pre] that makes the activity, as SciPy's CSR of float32."""
    random = np.random.default_rng((seed, 13))
    kinds = connectome.kinds
    number = int(kinds.max(initial=0)) + 1
    gains = random.uniform(*PAIR_GAINS, (number, number))
    signs = np.where(connectome.signs == 0, 1, connectome.signs)
    values = signs * connectome.synapses * gains[kinds[connectome.post], kinds[connectome.pre]]
    matrix = connectome.matrix(values.astype(np.float32))
    vector = random.standard_normal(connectome.neurons).astype(np.float32)
    radius = 0.0
    for _ in range(POWER_STEPS):
        after = matrix @ vector
        radius = float(np.linalg.norm(after))  # of a vector of length 1, from the second step on
        if not radius:
            break
        vector = after / np.float32(radius)
    matrix.data *= np.float32(GAIN / radius if radius else 0.0)
    return matrix
