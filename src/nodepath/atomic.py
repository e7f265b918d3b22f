"""Write a file in one stroke."""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from nodepath.errors import NodepathError, WriteError

__all__ = ["check_writable", "write_atomically"]


def write_atomically(path: Path, content: bytes, error: type[NodepathError]) -> None:
    """Whoever looks sees the old file or the whole new one, also if the process is killed at any moment.

    Missing folders are made.

    Args:
        path: Where to.
        content: All of it.
        error: What to raise if the system refuses to write there; it names the file and says why.
    """
    draft = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as refusal:
        raise error(_refused(path, refusal)) from refusal
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Before long work: whether a file could be written there. Missing folders are made.

    Raises:
        WriteError: The system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as refusal:
        raise WriteError(_refused(path, refusal)) from refusal


def _refused(path: Path, refusal: OSError) -> str:
    return f"cannot write {path}: {refusal.strerror or refusal}; choose another place with -o"
