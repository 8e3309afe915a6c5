"""Experiments whose tables the documentation shows; each is run by one command."""
