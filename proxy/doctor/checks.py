"""A check: one thing that Openline needs, and the finding that tells how it stands."""

from dataclasses import dataclass
from typing import Literal, get_args

State = Literal["ok", "failed", "skipped", "note"]
Name = Literal[
    "config",
    "package",
    "state",
    "port",
    "admin",
    "files",
    "forward",
    "dns",
    "tls",
    "clock",
    "http",
    "websocket",
    "credential",
    "ids",
    "lanes",
]
NAMES: tuple[Name, ...] = get_args(Name)
"""All checks, in their order."""

_MOST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing stands, in words for a person. No credential, no path of a URL and no header's value is in it."""

    name: Name
    state: State
    text: str
    advice: str = ""
    """What to do about it; whatever failed has some."""


def limit(seconds: float) -> float:
    """How long a check waits for an answer: as long as the proxy would by its settings, and never for long."""
    return min(seconds, _MOST_SECONDS)


def ok(name: Name, text: str) -> Finding:
    """It is as it should be."""
    return Finding(name, "ok", text)


def failed(name: Name, text: str, advice: str) -> Finding:
    """It keeps Openline from working, or from being of use."""
    return Finding(name, "failed", text, advice)


def note(name: Name, text: str, advice: str = "") -> Finding:
    """Worth knowing; Openline works all the same."""
    return Finding(name, "note", text, advice)


def skipped(name: Name, text: str, advice: str = "") -> Finding:
    """It was not looked at, and why."""
    return Finding(name, "skipped", text, advice)
