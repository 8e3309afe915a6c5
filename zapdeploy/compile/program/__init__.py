"""What a chip is given, event by event, and the file that holds it.

From a Program to the events of every layer: what each core holds, computes, sends and receives. The
functional simulator carries these events out, the timing simulator schedules them, and their counts
are what is priced. Nothing else decides what happens on the chip.

    program.py       a mapped network with its memory plan: the Program
    build.py         makes one; capacity.py says why a network does not fit
    section.py       a Program as bytes; graph_document.py, its graph; zap_file.py, the file of many
    activations.py   inputs, halos, channel gathers, changes of layout
    parameters.py    slices of weights: where they are stored and who needs them
    partial_sums.py  sums over cut input channels
    layer.py         all of it for one layer, and for a Program
"""
