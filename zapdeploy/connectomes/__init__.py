"""Wiring diagrams: read, matched to a recording, made, shuffled, put into order, drawn.

SciPy and the readers' libraries load when something that needs them is asked for.
"""
