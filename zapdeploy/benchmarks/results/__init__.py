"""Rows, the folder that keeps them, published figures, and comparisons."""
