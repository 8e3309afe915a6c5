"""Better cuts than the mapper's estimates find: a search that asks the schedule.

scoring.py   one layer under one cut, scheduled by itself, and remembered
search.py    which cuts to try next
"""

from zapdeploy.sim.search.search import Effort, improved

__all__ = ["Effort", "improved"]
