"""Baselines that are run here: CPUs and GPUs, with clocks and energy meters."""
