"""The scheduled timing simulator: when each unit of each core and each link does what.

link_reservation.py  who has each link when
access_pattern.py    what each core reads of a tensor, step by step, and the loop order
packets.py           messages cut by when they are read first
activations.py       the activation network's schedule
work.py              each core's work in whole numbers
machine.py           the arrays that the pipeline works on
pipeline.py          tile passes inside the cores; weights on the model network
drain.py             output tiles of results; the memory port
layer.py             one layer
program.py           a batch, layer after layer
collisions.py        looks the schedule through again: one message at a time on every link
critical.py          what a layer waited for
counting.py          counts the scheduled events again
loads.py             how busy cores and links were; the roofline
timeline.py          the schedule as a timeline, and as data for pictures
"""

from zapdeploy.sim.schedule.layer import LayerSchedule
from zapdeploy.sim.schedule.program import Schedule, schedule
from zapdeploy.sim.schedule.timeline import ScheduledChip, scheduled_chip

__all__ = ["LayerSchedule", "Schedule", "ScheduledChip", "schedule", "scheduled_chip"]
