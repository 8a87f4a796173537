"""The system's limit on open files: raised as far as it goes, and what of it callers may take."""

import contextlib
import resource

# Enough for every limit in the settings at its largest sensible value; some systems have no upper limit to go by.
_WANTED = 65_536
# The process's own: standard streams, the loop, listeners, files, libraries.
_OWN = 32


def raise_limit() -> int:
    """Raise this process's limit towards the system's; gives what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses what is above a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def affordable(connections: int) -> int:
    """How many of so many callers' connections there can be: each may need a second one upstream."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, (soft - _OWN) // 2))
