"""One network over many cards by space: every card holds a box of every tensor.

grid.py     cards along each spatial dimension, and where they cut a dimension
axes.py     which dimension of which tensor runs over space
cutting.py  the boxes: what each card makes of each tensor, and what it needs for that
pieces.py   what cards send each other
cards.py    a card's own network, an ordinary graph
turns.py    too few cards: rounds of boxes from the host's memory; turns_program.py compiles them,
            turns_file.py keeps them
"""
