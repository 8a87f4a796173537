"""Discretion: what strangers may read of a value, and no more."""

import ipaddress
from collections.abc import Sequence
from typing import Literal, get_args, get_origin
from urllib.parse import urlsplit

from proxy.settings_sources import leaves
from proxy.telemetry.paths import UNKNOWN, known
from proxy.upstream.capabilities import public_name

# Settings whose text is one of a few words, or an address.
_WORDS = {leaf.key: get_args(leaf.type) for leaf in leaves() if get_origin(leaf.type) is Literal}
_ADDRESSES = ("listen", "admin_listen")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "-"})
# What stands in paths beside what the API documents, and tells of nobody.
_OTHERS = frozenset({"api", "openai", "healthz", "-"})

Value = bool | int | float | str | Sequence[str]


def setting(key: str, value: Value) -> Value:
    """A setting's value where it tells nothing of anybody, else what kind of value it is."""
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return f"a list of {len(value)}"
    if value in _WORDS.get(key, ()) or not value:
        return value
    if key == "upstream.url":
        return url(value)
    return address(value) if key in _ADDRESSES else f"a text of {len(value)} characters"


def url(text: str) -> str:
    """Scheme, the host where everybody knows it, the port; a path only where it is the API's."""
    parts = urlsplit(text)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{_host(parts.hostname or '')}{port}{path(parts.path)}"


def address(text: str) -> str:
    """`HOST:PORT` without a name; `unix:` without the path; a word as it is."""
    if text.startswith("unix:"):
        return "unix:…"
    host, colon, port = text.rpartition(":")
    return f"{_host(host.strip('[]'))}:{port}" if colon else text


def path(text: str) -> str:
    """A path with an ellipsis for each part that is not the API's own."""
    return "/".join(part if known(part) or part in _OTHERS else UNKNOWN for part in text.partition("?")[0].split("/"))


def method(name: str) -> str:
    """A method of HTTP's, or that it was another."""
    return name if name in _METHODS else "another"


def _host(name: str) -> str:
    if name == "localhost":
        return name
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return public_name(name) or "…"
    shown = name if found.is_loopback or found.is_unspecified else "…"
    return f"[{shown}]" if found.version == 6 else shown
