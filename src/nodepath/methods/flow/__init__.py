"""Prune by flow again and again, over a course that is laid out once: what `synflow` and its kin are made of."""
