"""The program that runs in Lava's interpreter. Alone in its folder: Lava looks through all files
beside the one that defines a process."""
