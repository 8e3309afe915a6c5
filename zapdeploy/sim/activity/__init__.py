"""What the bits do, and what that costs: zeros, ones and toggles, from core-by-core execution.

bits.py      ones and toggles of what follows one another (compiled)
counts.py    what was counted: by core, layer, network and link
counting.py  an observer of the core array that counts
run.py       a sample of batches
costs.py     energy with zeros, with the actual data, with random data
tables.py    the same as tables
"""

from zapdeploy.sim.activity.costs import ACTUAL, CASES, RANDOM_DATA, WORST, ZEROS
from zapdeploy.sim.activity.result import ActivityResult
from zapdeploy.sim.activity.run import FRAMES, measure_activity

__all__ = [
    "ACTUAL",
    "CASES",
    "FRAMES",
    "RANDOM_DATA",
    "WORST",
    "ZEROS",
    "ActivityResult",
    "measure_activity",
]
