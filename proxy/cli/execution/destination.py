"""A destination: the upstream of a command's calls, who named it, and a running Openline that goes there already."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from proxy import __version__
from proxy.cli.client import Client, NoAnswer
from proxy.cli.flags import BadSettings
from proxy.config import InvalidSettingError, Settings, is_loopback
from proxy.errors import StartFault
from proxy.instance import Instance, instances
from proxy.server.terms import Terms, digest
from proxy.settings_sources import Loaded
from proxy.upstream.tls import tls_context

# What stands ahead of the path at an Openline, and nowhere else.
_MARKS = ("/t/", "/openline-run/")
_RUN = re.compile(r"/openline-run/([A-Za-z0-9_-]+)(?=/|$)")
_URL = "upstream.url"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the calls go."""

    settings: Settings
    """For a proxy of its own: on any free port of loopback, open to this machine as that is all who can reach it."""
    origin: str
    """Who named the upstream."""
    running: Instance | None = None
    """The one that does what our own would do."""
    within: str | None = None
    """The run of an `openline exec` in which this one is, where both go through that."""

    @property
    def host(self) -> str:
        """The upstream's scheme, host and port: its path may be a secret."""
        parts = urlsplit(self.settings.upstream.url)
        return f"{parts.scheme}://{parts.netloc}"


def destination(
    loaded: Loaded, named: tuple[str, str] | None, environ: Mapping[str, str], *, own: bool = False
) -> Destination:
    """Decide. `named` is where the command would go without us, and who says so: it counts where no setting does.

    Raises:
        BadSettings: that is no URL, or an Openline of which the upstream is not known.
    """
    settings = msgspec.structs.replace(
        loaded.settings, listen="127.0.0.1:0", admin_listen="auto", admin_scope="all", token_file="", token=None
    )
    origin = str(loaded.origins[_URL])
    around = _instance_at(named[1]) if named else None
    if named and loaded.origins[_URL].kind == "default":
        settings, origin = _followed(settings, loaded.settings.listen_port, named, around)
    try:
        if settings.upstream.ca_file:  # a slip in its name must show before the command starts
            tls_context(settings.upstream.ca_file)
        wanted = digest(settings, settings.mode, environ)
    except StartFault as fault:
        raise BadSettings(str(fault)) from None
    # One that passes is relied on by what runs within it alone.
    candidates = [*([around] if around else []), *(one for one in instances() if not one.passing and one != around)]
    running = None if own else next((one for one in candidates if _suits(one, wanted)), None)
    within = _RUN.search(named[1]) if named and running == around else None
    return Destination(settings, origin, running, within[1] if within else None)


def _followed(
    settings: Settings, usual_port: int, named: tuple[str, str], around: Instance | None
) -> tuple[Settings, str]:
    """The settings with the upstream that `named` leads to: where that is an Openline, the upstream of that."""
    where, url = named
    if around:
        terms = _terms(around)
        if terms is None:
            raise _unknown(where)
        return _with_upstream(settings, terms.upstream, where), f"the Openline that {where} leads to"
    reached = _with_upstream(settings, url, where)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    # Openline speaks no TLS. Whoever has TLS ahead of one has an upstream there that is none of ours.
    if parts.scheme == "http" and asyncio.run(_answers(host, port)):
        raise _unknown(where)
    marked, here = parts.path.startswith(_MARKS), is_loopback(host)
    if marked and not here:
        raise _unknown(where)
    if here and (marked or port == usual_port):
        return settings, f"default, as {where} leads to an Openline that does not run"
    return reached, where


def _with_upstream(settings: Settings, url: str, where: str) -> Settings:
    try:
        return msgspec.structs.replace(settings, upstream=msgspec.structs.replace(settings.upstream, url=url))
    except InvalidSettingError as error:
        raise BadSettings(f"{where}: {error.problem}") from None


def _unknown(where: str) -> BadSettings:
    return BadSettings(
        f"{where} leads to an Openline that does not say here which upstream it has: name one with --upstream, or run"
        " the command as it is, as it goes through that one already"
    )


async def _answers(host: str, port: int) -> bool:
    from proxy.cli.occupant import openline_at  # noqa: PLC0415 - its libraries are slow to import, and seldom needed

    return await openline_at((host, port)) is not None


def _instance_at(url: str) -> Instance | None:
    """The instance of this user's that has this address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    for one in instances():
        known = urlsplit(one.api).hostname or ""
        both = is_loopback(host) and is_loopback(known)
        if parts.scheme == "http" and port == one.port and (host == known or both):
            return one
    return None


def _terms(instance: Instance) -> Terms | None:
    """What it goes by; None where it does not say, or has gone meanwhile."""
    try:
        return Client(instance).get("/terms", Terms)
    except NoAnswer:
        return None


def _suits(instance: Instance, wanted: str) -> bool:
    """Whether the same becomes of turns there as with us."""
    terms = _terms(instance) if instance.version == __version__ else None
    return terms is not None and terms.digest == wanted and terms.ready and not terms.token
