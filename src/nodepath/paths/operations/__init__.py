"""What each operation does to path counts and to reachability, one family a file.

Importing this package fills the table.
"""

from nodepath.paths.operations import arithmetic, elementwise, layers, pooling, queries, shapes

__all__ = ["arithmetic", "elementwise", "layers", "pooling", "queries", "shapes"]
