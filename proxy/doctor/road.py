"""The road to the upstream: the forward proxy, the name, the connection and its TLS, each tried once."""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxyMessage, InvalidProxyStatus

from proxy.config import Settings, is_loopback
from proxy.doctor.checks import Finding, Name, failed, limit, note, ok, skipped
from proxy.errors import StartFault, TurnFault
from proxy.telemetry.logs import duration, printable
from proxy.upstream.dial import PROXY_AUTHENTICATION, dialler
from proxy.upstream.forward import ForwardProxy, forward_proxy
from proxy.upstream.patience import Patience
from proxy.upstream.tls import certificate_trouble
from proxy.upstream.way import Way, way_upstream

_PORTS = {"http": 80, "https": 443}
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class _Reached:
    """A connection that was there."""

    seconds: float
    issuer: str


@dataclass(frozen=True, slots=True)
class _Addresses:
    """What a name leads to."""

    all: list[str]
    seconds: float


class Road:
    """Found out by its checks, in this order: forward, dns, tls. `way` is there once it is open."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.way: Way | None = None
        self.blocked: Name | None = None
        """The check that says why there is no way."""
        self._settings = settings
        self._environ = environ
        self._base = settings.upstream.url
        parts = urlsplit(self._base)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._name = parts.netloc
        self._seconds = limit(settings.timeouts.dial_seconds)
        self._forward: ForwardProxy | None = None
        self._found: _Addresses | OSError | None = None
        self._reached: _Reached | TurnFault | StartFault | None = None

    async def forward(self) -> Finding:
        """Which forward proxy the environment names for the upstream, and whether it lets Openline through."""
        try:
            forward = self._forward = forward_proxy(self._base, self._environ)
        except StartFault as fault:
            self.blocked = "forward"
            return failed("forward", str(fault), "correct it or unset it: Openline does not start with it")
        if forward is None:
            return ok("forward", f"no forward proxy: {self._exempt()}")
        return await self._through(forward)

    async def _through(self, forward: ForwardProxy) -> Finding:
        shown = f"{urlsplit(forward.address).netloc} ({forward.variable})"
        if isinstance(await self._look_up(), OSError):
            return skipped("forward", f"{shown} was not tried: its name is not known, see dns")
        reached = await self._reach()
        if isinstance(reached, StartFault):
            return skipped("forward", f"{shown} was not tried, see tls")
        cause = reached.__cause__ if isinstance(reached, TurnFault) else None
        if isinstance(cause, ssl.SSLError) and forward.secure:
            return skipped("forward", f"{shown}: its TLS or the upstream's fails, see tls")
        if cause is None or isinstance(cause, ssl.SSLError):
            return ok("forward", f"{shown} leads to {self._name}")
        self.blocked = "forward"
        text, advice = self._refusal(cause, forward)
        return failed("forward", f"{shown}: {text}", f"{advice}, or exempt the upstream: NO_PROXY={self._host}")

    async def dns(self) -> Finding:
        """Whether the name of the upstream, or of the forward proxy ahead of it, leads to an address."""
        if self.blocked and self._found is None:
            return skipped("dns", f"the forward proxy is not known, see {self.blocked}")
        forward, host = self._forward, self._first_host
        shown = f"{host} (the forward proxy)" if forward else host
        found = await self._look_up()
        if isinstance(found, OSError):
            self.blocked = "dns"
            why = found.strerror or f"no answer within {self._seconds:g} s"
            where = forward.variable if forward else "upstream.url"
            return failed("dns", f"{shown}: {why}", f"check the name in {where}, the network, and its DNS server")
        if found.all == [host]:
            return ok("dns", f"{shown} is an address: there is nothing to look up")
        more = f" and {len(found.all) - 1} more" if len(found.all) > 1 else ""
        return ok("dns", f"{shown}: {found.all[0]}{more}, {duration(found.seconds)}")

    async def tls(self) -> Finding:
        """Whether a connection to the upstream can be had, and who vouches for it."""
        if self.blocked:
            return skipped("tls", f"the upstream is not reached, see {self.blocked}")
        reached = await self._reach()
        if isinstance(reached, _Reached):
            return self._connected(reached)
        self.blocked = "tls"
        if isinstance(reached, StartFault):
            return failed("tls", str(reached), "correct upstream.ca_file: Openline does not start with it")
        text, advice = self._trouble(reached.__cause__ or reached)
        return failed("tls", f"{self._name}: {text}", advice)

    @property
    def _is_here(self) -> bool:
        """Whether the upstream is on this machine by its very name."""
        return is_loopback(self._host) or self._host.endswith(".localhost")

    @property
    def _first_host(self) -> str:
        """Whose name is looked up here."""
        return (urlsplit(self._forward.address).hostname or "") if self._forward else self._host

    def _exempt(self) -> str:
        """Why there is no forward proxy."""
        if self._is_here:
            return "the upstream is on this machine"
        rest = {name: value for name, value in self._environ.items() if name.lower() != "no_proxy"}
        try:
            named = forward_proxy(self._base, rest) is not None
        except StartFault:
            named = True
        return f"NO_PROXY exempts {self._name}" if named else f"no variable names one for {self._name}"

    async def _look_up(self) -> "_Addresses | OSError":
        """Look the first name up, once."""
        if self._found is None:
            began = time.perf_counter()
            try:
                self._found = _Addresses(await self._addresses(), time.perf_counter() - began)
            except OSError as error:
                self._found = error
        return self._found

    async def _addresses(self) -> list[str]:
        """Look it up in a thread that nothing waits for: a resolver without a network takes long. Raises OSError."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str] | OSError] = loop.create_future()

        def told(answer: list[str] | OSError) -> None:
            if not found.done():
                found.set_result(answer)

        def look() -> None:
            answer = _resolved(self._first_host, self._port)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(told, answer)

        threading.Thread(target=look, name="name lookup", daemon=True).start()
        async with asyncio.timeout(self._seconds):
            answer = await found
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def _reach(self) -> "_Reached | TurnFault | StartFault":
        """Open one connection as the proxy would, once, and close it."""
        if self._reached is None:
            try:
                way = way_upstream(self._settings, self._environ)
                began = time.perf_counter()
                line = await dialler(self._settings, way).reach(patience(self._seconds))
            except (StartFault, TurnFault) as fault:
                self._reached = fault
            else:
                issuer = _issuer(line.transport.get_extra_info("ssl_object"))
                self.way, self._reached = way, _Reached(time.perf_counter() - began, issuer)
                line.transport.abort()
        return self._reached

    def _connected(self, reached: _Reached) -> Finding:
        if self._base.startswith("https:"):
            by = f"by {reached.issuer}" if reached.issuer else "verified"
            return ok("tls", f"{self._name}, certificate {by}, {duration(reached.seconds)}")
        text = f"{self._name}, connected without TLS, {duration(reached.seconds)}"
        if self._is_here:
            return ok("tls", text)
        return note("tls", text, "keys and prompts can be read on the way: use https:// in upstream.url if you can")

    def _refusal(self, cause: BaseException, forward: ForwardProxy) -> tuple[str, str]:
        """What is wrong with the forward proxy, and what to do."""
        if isinstance(cause, InvalidProxyStatus):
            status = cause.response.status_code
            if status == PROXY_AUTHENTICATION:
                return "it answered 407", f"check the user and the password in {forward.variable}"
            return f"it answered {status} to CONNECT {self._name}", "ask whoever runs it to let that through"
        if isinstance(cause, InvalidProxyMessage):
            return "it does not answer as an HTTP proxy does", f"check {forward.variable}"
        return self._no_connection(cause), f"check {forward.variable}, and that the forward proxy is up"

    def _trouble(self, cause: BaseException) -> tuple[str, str]:
        """What is wrong with the connection, and what to do."""
        certificate = certificate_trouble(cause)
        if certificate:
            whose = "the forward proxy's or the upstream's: " if self._forward and self._forward.secure else ""
            what, _, advice = certificate.partition(": ")
            return whose + what, f"{advice} or SSL_CERT_FILE" if advice.endswith("ca_file") else advice
        if isinstance(cause, ssl.SSLError):
            reason = (cause.reason or "no reason given").replace("_", " ").lower()
            return (
                f"TLS fails: {reason}",
                "check the port in upstream.url, and whether TLS is spoken there (http:// if not)",
            )
        return self._no_connection(cause), "check upstream.url, that the host is up, and the firewalls on the way"

    def _no_connection(self, cause: BaseException) -> str:
        if isinstance(cause, TimeoutError):
            return f"no connection within {self._seconds:g} s"
        if isinstance(cause, OSError) and cause.errno:
            # asyncio puts words of its own in place of the system's.
            return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
        if isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
            return "none of its addresses takes a connection"
        return "the connection was closed"


def patience(seconds: float) -> Patience:
    """For a wait of so long: of a turn's patience four fifths can be spent before a create is written."""
    return Patience(seconds / 0.8)


def _resolved(host: str, port: int) -> list[str] | OSError:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:
        return OSError(socket.EAI_NONAME, "no host can have such a name")
    return list(dict.fromkeys(str(address[0]) for *_, address in rows))


def _issuer(tls: ssl.SSLObject | None) -> str:
    """Who issued the certificate; empty where the system's own verifier does not tell."""
    certificate = (tls.getpeercert() if tls else None) or {}
    rows = certificate.get("issuer", ())
    names = {pair[0]: str(pair[1]) for row in rows if isinstance(row, tuple) for pair in row}
    return printable(names.get("organizationName") or names.get("commonName") or "", _LONGEST_NAME)
