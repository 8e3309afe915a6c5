"""How good a network is in each of its forms."""
