"""A reload: settings that change while the proxy runs, and which of them wait for a restart."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.config import Section, Settings

Reloader = Callable[[], "Reload"]
"""Reads the settings anew and goes by them. Raises what the sources of settings raise: then the old ones stay."""

# What the listeners and the state file are made by, once.
_AT_THE_START = frozenset(
    {
        "listen",
        "admin_listen",
        "admin_scope",
        "limits.connections",
        "timeouts.header_seconds",
        "heads.survive_restarts",
        "log_format",
        "verbose",
    }
)


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload changed, by the dotted names of settings."""

    changed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    """Those that count from the next start on."""


def difference(before: Settings, after: Settings, *, started: Settings) -> Reload:
    """What going from one to the other changes, of a process that `started` with others, maybe.

    The token counts as `token_file`, and at once.
    """
    changed = [name for name in _differing(before, after) if name not in _AT_THE_START]
    if before.token != after.token and "token_file" not in changed:
        changed.append("token_file")
    return Reload(tuple(changed), tuple(name for name in _differing(started, after) if name in _AT_THE_START))


def _differing(before: Section, after: Section, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, Section):
            found += _differing(old, new, f"{prefix}{name}.")
        elif old != new and name != "token":
            found.append(prefix + name)
    return found
