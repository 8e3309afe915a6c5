"""From a Program to the events of every layer: what each core holds, computes, sends and receives.

The functional simulator carries these events out, the timing simulator schedules them, and their
counts are what is priced. Nothing else decides what happens on the chip.

    messages.py      what travels: parts of tensors, their senders and receivers
    activations.py   inputs, halos, channel gathers, changes of layout
    parameters.py    slices of weights: where they are stored and who needs them
    partial_sums.py  sums over cut input channels
    layer.py         all of it for one layer, and for a Program
"""

from zapdeploy.compile.lowering.activations import Delivery
from zapdeploy.compile.lowering.layer import LayerEvents, Lowered, lower
from zapdeploy.compile.lowering.messages import Messages
from zapdeploy.compile.lowering.parameters import Parameters

__all__ = ["Delivery", "LayerEvents", "Lowered", "Messages", "Parameters", "lower"]
