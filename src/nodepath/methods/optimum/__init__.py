"""The exact optimum of nodes against paths, layer by layer: what `npb` is made of."""
