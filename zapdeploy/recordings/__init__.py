"""Recordings of neural activity: what labs have, read into one form.

TensorStore loads when a recording is opened, not with this package.
"""

from zapdeploy.recordings.conditions import CONDITIONS, Condition, Split, window_starts
from zapdeploy.recordings.recording import Recording, open_recording

__all__ = ["CONDITIONS", "Condition", "Recording", "Split", "open_recording", "window_starts"]
