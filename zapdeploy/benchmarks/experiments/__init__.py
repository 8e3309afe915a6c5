"""The scripts behind the tables of the docs."""
