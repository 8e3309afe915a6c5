"""A quantized network as a sigma-delta network: what is sent, and paid for, is change.

network.py      populations of neurons, connections, and the job a simulator is given
conversion.py   the integer graph as such a network
arithmetic.py   requantization in integers, exactly as the graph's float32 formula
reference.py    the dynamics in NumPy
worker.py       the same in Lava's simulation of Loihi 2, in an interpreter of its own
lava.py         the worker's caller
environment.py  finds that interpreter, or sets it up
placement.py    which core holds which neurons, or why they do not fit
events.py       events counted from a run, and what they cost
"""

from zapdeploy.sim.sigma_delta.conversion import convert
from zapdeploy.sim.sigma_delta.events import EventCosts, count_events, price
from zapdeploy.sim.sigma_delta.lava_run import run_in_lava
from zapdeploy.sim.sigma_delta.network import SigmaDeltaNetwork, Spikes, with_thresholds
from zapdeploy.sim.sigma_delta.placement import Placement, place
from zapdeploy.sim.sigma_delta.reference import run_reference

__all__ = [
    "EventCosts",
    "Placement",
    "SigmaDeltaNetwork",
    "Spikes",
    "convert",
    "count_events",
    "place",
    "price",
    "run_in_lava",
    "run_reference",
    "with_thresholds",
]
