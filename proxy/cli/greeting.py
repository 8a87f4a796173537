"""The greeting: what `openline run` says once it listens. Its first line can be pasted into a shell."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from proxy import __version__
from proxy.config import Settings
from proxy.settings_shown import shown_url
from proxy.settings_sources import TOKEN_VARIABLE, Loaded, leaves

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with


def greeting(loaded: Loaded, base: str, admin: str | None) -> Iterator[str]:
    """The lines, for a proxy that callers reach at `base`, and people and probes at `admin`."""
    settings = loaded.settings
    yield f"export OPENAI_BASE_URL={_with_token(settings, base)}"
    yield f"openline {__version__}: upstream {shown_url(settings.upstream.url)}, mode {settings.mode}"
    if settings.token:
        way = "as above" if settings.token.plain_in_urls else "percent-encoded, as in " + _with(base, "TOKEN")
        yield f"token: callers show it in the header x-openline-token, or in the base URL ({way})"
    if settings.listen_host in _EVERYWHERE:
        names = ", ".join(settings.allowed_hosts) or "none yet"
        yield f"from elsewhere: use this machine's address, or a name that allowed_hosts lists ({names})"
    yield f"admin: {_admin(settings, admin)}"
    if settings.verbose:
        yield from what_is_set(loaded)


def what_is_set(loaded: Loaded) -> Iterator[str]:
    """Each setting that is not a default, and its source; no values."""
    for leaf in leaves():
        origin = loaded.origins[leaf.key]
        if origin.kind != "default":
            yield f"set: {leaf.key} ({origin})"


def _with_token(settings: Settings, base: str) -> str:
    """The base URL, with words in the token's place that a shell puts the token for."""
    if settings.token is None or not settings.token.plain_in_urls:
        return base
    file = Path(settings.token_file).absolute()
    return _with(base, f'"$(head -n 1 {shlex.quote(str(file))})"' if settings.token_file else f"${TOKEN_VARIABLE}")


def _with(base: str, token: str) -> str:
    return f"{base.removesuffix('/v1')}/t/{token}/v1"


def _admin(settings: Settings, admin: str | None) -> str:
    """Where the admin listener is, and what for."""
    if admin is None:
        return "off" if settings.admin_listen == "off" else "none, as no port could be had"
    if settings.admin_scope == "probes":
        return f"{admin} (for probes: /healthz, /readyz)"
    return f"{admin} (how it is doing: /status)"
