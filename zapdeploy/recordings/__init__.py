"""Recordings of neural activity: what labs have, read into one form.

The field's own libraries load when a file needs them, not with this package.
"""

from zapdeploy.recordings.conditions import Condition, Split, window_starts
from zapdeploy.recordings.description import Description
from zapdeploy.recordings.options import ReadOptions
from zapdeploy.recordings.recording import Recording, open_recording

__all__ = [
    "Condition",
    "Description",
    "ReadOptions",
    "Recording",
    "Split",
    "open_recording",
    "window_starts",
]
