"""Several cards in lock step, each on its box of space.

lockstep.py      the values: cards run, wait for each other, are sent just what the compiler says
core_by_core.py  a card of these, its Program carried out core by core
agreement.py     all cards against the whole graph
steps.py         what a card's layers wait for and send
flow.py          a pass of all cards in time
performance.py   what that costs; summary, documents and results show it
turns.py         boxes in turn, their values; turns_time.py their time and joules, turns_results.py,
                 turns_summary.py what is shown of them
"""
