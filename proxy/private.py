"""A private file: one of the user's own, in folders that nobody else can put anything into."""

import os
import stat
from pathlib import Path


def folder(path: Path) -> None:
    """Make the folder, and each above it that is missing, for the user alone whatever the umask. Raises OSError."""
    if path.is_dir():
        return
    for each in (*reversed(path.parents), path):  # `parents=True` would give the mode to the last one only
        each.mkdir(mode=0o700, exist_ok=True)


def opened(path: Path) -> int:
    """A descriptor to read a file by. Raises OSError where it is no plain file, or another user's."""
    # A pipe would be waited for, and a link may lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(f"{path}: no file of the user's own")
    return descriptor


def read(path: Path, limit: int) -> bytes:
    """What is in it. Raises OSError, also where that is more than `limit` bytes."""
    with os.fdopen(opened(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(f"{path}: more than {limit} bytes")
    return content
