"""The state folder: where a running Openline leaves its files, and what keeps it from that."""

import os
import stat
from pathlib import Path

import platformdirs

from proxy.doctor.checks import Finding, failed, note, ok

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def folder() -> Path:
    """Where it is, or would be."""
    return platformdirs.user_state_path("openline")


def trouble(path: Path) -> str | None:
    """Why this user cannot have files in the folder, in words; None where that is possible."""
    for place in (path, *path.parents):
        try:
            found = place.stat()
        except FileNotFoundError:
            continue
        except NotADirectoryError:  # one above is a file
            continue
        except OSError as error:
            return f"{place} cannot be looked at: {error.strerror}"
        if not stat.S_ISDIR(found.st_mode):
            return f"{place} is no folder"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"nothing can be written into {place}"
        return None
    return f"there is nothing above {path}"


def state(path: Path, user: int) -> Finding:
    """Whether the files can be there, and are nobody else's."""
    for each in (path, path / "running"):
        why = trouble(each)
        if why:
            advice = "correct XDG_STATE_HOME, or the folder: Openline neither starts in the background nor is found"
            return failed("state", f"{path} cannot be used: {why}", advice)
    if not path.exists():
        return ok("state", f"{path} will be made")
    found = path.stat()
    if found.st_uid != user:
        return failed("state", f"{path} belongs to another user", "have your own: set XDG_STATE_HOME, or chown it")
    if found.st_mode & _OTHERS:
        return note("state", f"others can put files into {path}", f"chmod 700 {path}")
    return ok("state", str(path))
