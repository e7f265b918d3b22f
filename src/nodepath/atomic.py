"""Write a file in one stroke."""

import contextlib
import os
import secrets
from pathlib import Path

from nodepath.errors import NodepathError

__all__ = ["write_atomically"]


def write_atomically(path: Path, content: bytes, error: type[NodepathError]) -> None:
    """Whoever looks sees the old file or the whole new one, also if the process is killed at any moment.

    Args:
        path: Where to.
        content: All of it.
        error: What to raise if the system refuses to write there; it names the file and says why.
    """
    draft = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as refusal:
        raise error(f"cannot write {path}: {refusal.strerror or refusal}; choose another place with -o") from refusal
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
