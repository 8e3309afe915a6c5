"""How layers are cut over cores: the cuts, what they cost, which are chosen, where tensors lie."""
