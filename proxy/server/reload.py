"""A reload: settings that change while the proxy runs, and which of them wait for a restart."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from proxy.config import InvalidSettingError, Section, Settings
from proxy.errors import StartFault

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


def in_force(started: Settings, wanted: Settings) -> Settings:
    """Those that can count now: what waits for the next start is as it was when the process `started`.

    Raises StartFault where that cannot be: no token any more, say, while others reach the listener.
    """
    values: dict[str, object] = {}
    sections: dict[str, Section] = {}
    for name in _AT_THE_START:
        section, _, key = name.rpartition(".")
        if section:
            before = sections.get(section, getattr(wanted, section))
            sections[section] = msgspec.structs.replace(before, **{key: getattr(getattr(started, section), key)})
        else:
            values[key] = getattr(started, key)
    try:
        # All at once: half of them may not go together.
        return msgspec.structs.replace(wanted, **values, **sections)
    except InvalidSettingError as error:
        raise StartFault(f"{error}; that is how it was started: a restart is needed") from None


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
