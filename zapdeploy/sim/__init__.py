"""Values to the bit, times cycle by cycle, joules by event: what a compiled network does."""
