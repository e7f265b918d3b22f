"""What each operation does to path counts and to reachability, one family a file.

Importing this package fills the table.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
