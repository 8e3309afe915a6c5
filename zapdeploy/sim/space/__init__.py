"""Several cards in lock step, each on its box of space.

lockstep.py  the values: cards run, wait for each other, and are sent just what the compiler says
"""
