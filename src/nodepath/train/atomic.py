"""Write a file in one stroke."""

import contextlib
import os
import secrets
from pathlib import Path

from nodepath.errors import RunError

__all__ = ["write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Whoever looks sees the old file or the whole new one, also if the process is killed at any moment.

    Raises:
        RunError: The system refuses to write there; names the file and says why.
    """
    draft = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; choose another place with -o") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
