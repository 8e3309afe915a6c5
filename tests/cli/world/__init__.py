"""Small files of many kinds, each by itself through check, quantize, compile and simulate.

writing.py   how a file is written, and the list of all
the others   the files, by kind; each function writes one of its name
"""
