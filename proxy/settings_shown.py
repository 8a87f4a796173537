"""Shown settings: every setting as the owner may read it, and where it came from. No secret is among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.settings_sources import Origin, leaves

# What the paths of APIs are made of.
_PLAIN = frozenset({"", "api", "openai", "v1"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting."""

    key: str
    value: bool | int | float | str | list[str]
    origin: Origin | None = None
    """None where it is not known."""


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where the token is that callers must show; the token itself is not in here."""

    file: str | None
    """The whole path; None where it came from the variable."""
    plain_in_urls: bool
    """Whether it stands in a URL as it is."""


@dataclass(frozen=True, slots=True)
class ShownSettings:
    """All of them, in the order of the schema."""

    settings: tuple[Shown, ...]
    token: TokenPlace | None
    """None where no token is asked for."""


def show(settings: Settings, origins: Mapping[str, Origin]) -> ShownSettings:
    """What may be shown of these settings."""
    shown = tuple(Shown(leaf.key, _value(settings, leaf.key), origins.get(leaf.key)) for leaf in leaves())
    if settings.token is None:
        return ShownSettings(shown, None)
    file = str(Path(settings.token_file).absolute()) if settings.token_file else None
    return ShownSettings(shown, TokenPlace(file, settings.token.plain_in_urls))


def shown_url(url: str) -> str:
    """The URL, with an ellipsis for a path other than APIs have: some gateways take a key there."""
    parts = urlsplit(url)
    plain = _PLAIN.issuperset(parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc}{parts.path if plain else '/…'}"


def _value(settings: Settings, key: str) -> bool | int | float | str | list[str]:
    value: object = settings
    for name in key.split("."):
        value = getattr(value, name)
    if key == "upstream.url":
        return shown_url(str(value))
    return list(value) if isinstance(value, tuple) else cast("bool | int | float | str", value)
