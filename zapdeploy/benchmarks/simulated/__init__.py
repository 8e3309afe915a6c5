"""Rows of simulated chips, and how far they can be believed."""
