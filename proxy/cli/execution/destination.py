"""A destination: the upstream of a command's calls, who named it, and a running Openline that goes there already."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from proxy import __version__
from proxy.cli.client import Client, NoAnswer
from proxy.cli.execution.agents import RUN_MARK, VARIABLES, Address, leading
from proxy.cli.execution.presence import addresses, presence
from proxy.cli.flags import BadSettings
from proxy.config import InvalidSettingError, Mode, Settings, is_loopback
from proxy.errors import StartFault
from proxy.instance import Instance, instances
from proxy.server.terms import Terms, digest, way
from proxy.settings_sources import Loaded
from proxy.upstream.tls import tls_context

# What stands ahead of the path at an Openline, and nowhere else.
_MARKS = ("/t/", RUN_MARK)
_RUN = re.compile(rf"{RUN_MARK}(?P<run>[A-Za-z0-9_-]+)(?:\.(?P<way>[^/]*))?(?=/|$)")
_URL = "upstream.url"
# One that takes longer to say so is not worth the wait: it need not be shared.
_SHARED_SECONDS = 1.0


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
    variables: tuple[str, ...] = VARIABLES
    """Those that may lead the command to us."""
    way: str = ""
    """What terms.way says of it: a shared one that goes another way is not to take the calls."""

    @property
    def host(self) -> str:
        """The upstream's scheme, host and port: its path may be a secret."""
        return _host(self.settings.upstream.url)


@dataclass(frozen=True, slots=True)
class _Said:
    """An upstream, and who says so: `where` in a sentence, `origin` for the record."""

    url: str
    where: str
    origin: str
    mode: Mode | None = None
    """That of the Openline which it is, if it is one: who has switched it off has not switched it on for us."""


@dataclass(frozen=True, slots=True)
class _Found:
    """An address that the command would go to, and the instance of this user's that is there."""

    address: Address
    instance: Instance | None

    @property
    def run(self) -> re.Match[str] | None:
        """The run of `openline exec` that it was made for."""
        return _RUN.search(self.address.url) if self.instance else None

    @property
    def outer(self) -> bool:
        """Whether an `openline exec` around this one has set it."""
        return bool(self.instance and (self.instance.passing or self.run))


def destination(
    loaded: Loaded, named: Sequence[Address], environ: Mapping[str, str], *, own: bool = False
) -> Destination:
    """Decide. `named` is where the command would go without us.

    A flag is the last word, then an `openline exec` around this one, then OPENLINE_UPSTREAM__URL. What else is said
    must be the same: a key must not go to a host for which it is not meant.

    Raises:
        BadSettings: it is not the same, is no URL, or leads to an Openline of which the upstream is not known.
    """
    settings = msgspec.structs.replace(
        loaded.settings, listen="127.0.0.1:0", admin_listen="auto", admin_scope="all", token_file="", token=None
    )
    source = loaded.origins[_URL]
    origin, variables = str(source), VARIABLES
    found = [_Found(one, _instance_at(one.url)) for one in named]
    within = any(one.outer for one in found)
    if not (source.kind == "flag" or (source.kind == "environment" and not within)):
        variables = leading(environ, named)
        said = (
            [_Said(settings.upstream.url, f"{_URL} ({origin})", origin)] if source.kind == "file" and not within else []
        )
        said += [_followed(loaded, settings, one, environ) for one in found]
        _check(said)
        if said:
            settings, origin = _with_upstream(settings, said[0].url, said[0].where), said[0].origin
        mode = next((one.mode for one in said if one.mode), None)
        if mode and loaded.origins["mode"].kind in {"default", "file"}:
            settings = msgspec.structs.replace(settings, mode=mode)
    try:
        if settings.upstream.ca_file:  # a slip in its name must show before the command starts
            tls_context(settings.upstream.ca_file)
        wanted, road = digest(settings, settings.mode, environ), way(settings, environ)
    except StartFault as fault:
        raise BadSettings(str(fault)) from None
    around = {one.instance: one for one in found if one.instance}
    # One that passes is relied on by what runs within it alone.
    candidates = [*around, *(one for one in instances() if not one.passing and one not in around)]
    running = None if own else next((one for one in candidates if _suits(one, wanted)), None)
    run = around[running].run if running in around else None
    return Destination(settings, origin, running, run["run"] if run else None, variables, road)


def _check(said: Sequence[_Said]) -> None:
    """Raise BadSettings where two do not say the same."""
    for one in said[1:]:
        if one.url != said[0].url:
            raise BadSettings(
                f"{said[0].where} leads to {_host(said[0].url)}, and {one.where} to {_host(one.url)}"
                f"{', by another path' if _host(one.url) == _host(said[0].url) else ''}: say by --upstream which one"
                " is meant, as a key for the one must not go to the other"
            )


def _followed(loaded: Loaded, settings: Settings, found: _Found, environ: Mapping[str, str]) -> _Said:
    """The upstream that the address leads to: where that is an Openline, the upstream of that. Raises BadSettings."""
    where, url = found.address
    if found.instance:
        terms = _terms(found.instance)
        if terms is None:
            raise _unknown(where)
        if found.run and found.run["way"] not in (None, terms.way):
            raise BadSettings(
                f"{where} leads to an Openline that goes to its upstream another way by now: start anew what set it"
            )
        return _Said(terms.upstream, where, f"the Openline that {where} leads to", terms.mode)
    reached = _with_upstream(settings, url, where).upstream.url
    parts = urlsplit(reached)
    marked = parts.path.startswith(_MARKS)
    if parts.scheme == "https":
        # Openline speaks no TLS. Whoever has TLS ahead of one has an upstream there that is none of ours.
        if marked:
            raise _unknown(where)
        return _Said(reached, where, where)
    host, port = parts.hostname or "", parts.port or 80
    there, here = presence(host, port).kind, is_loopback(host)
    if here and there == "nobody":
        if marked or port == loaded.settings.listen_port:
            if not _is_meant(loaded, settings, parts.path, environ):
                raise BadSettings(
                    f"{where} leads to an Openline that does not run, and whose upstream is not known: start it, unset"
                    " the variable, or name the upstream with --upstream"
                )
            gone = f"{loaded.origins[_URL]}, as {where} leads to an Openline that does not run"
            return _Said(settings.upstream.url, where, gone)
    elif there == "openline" or marked:
        raise _unknown(where)
    elif there == "silent" and here:
        raise BadSettings(
            f"{where} leads to a program on this machine that does not answer, maybe an Openline that hangs: end it,"
            " or name the upstream with --upstream"
        )
    return _Said(reached, where, where)


def _is_meant(loaded: Loaded, settings: Settings, path: str, environ: Mapping[str, str]) -> bool:
    """Whether an address whose Openline is gone was one of these settings: by what its run went by, else as they say.

    A default is nobody's word: that Openline may have been started with another upstream.
    """
    run = _RUN.search(path)
    if run and run["way"] is not None:
        return run["way"] == way(settings, environ)
    return loaded.origins[_URL].kind != "default"


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


def _instance_at(url: str) -> Instance | None:
    """The instance of this user's that has this address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http":
        return None
    return next((one for one in instances() if port == one.port and _is_host(host, one)), None)


def _is_host(host: str, instance: Instance) -> bool:
    """Whether who connects to `host` reaches it. By the name localhost another program may have the other address."""
    known = urlsplit(instance.api).hostname or ""
    if host != "localhost":
        return host == known
    there = addresses(host, instance.port)
    others = [presence(one, instance.port) for one in there if one != known]
    return known in there and all(one.kind == "nobody" or one.pid == instance.pid for one in others)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _terms(instance: Instance, seconds: float = 5.0) -> Terms | None:
    """What it goes by; None where it does not say, or has gone meanwhile."""
    try:
        return Client(instance, seconds).get("/terms", Terms)
    except NoAnswer:
        return None


def _suits(instance: Instance, wanted: str) -> bool:
    """Whether the same becomes of turns there as with us."""
    terms = _terms(instance, _SHARED_SECONDS) if instance.version == __version__ else None
    return terms is not None and terms.digest == wanted and terms.ready and not terms.token
