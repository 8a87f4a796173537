"""The forward proxy on the way to the upstream: decided once, from the environment, for both transports."""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from proxy.errors import StartFault

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """A proxy that is asked to CONNECT, or, for plain HTTP, to fetch."""

    address: str
    """Its URL without the credential."""
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    variable: str = field(default="", compare=False)
    """Where it was named."""

    @property
    def with_credential(self) -> str:
        """Its URL with the credential, for a library that takes it so."""
        if self.user is None:
            return self.address
        scheme, _, rest = self.address.partition("://")
        return f"{scheme}://{quote(self.user, safe='')}:{quote(self.password, safe='')}@{rest}"

    @property
    def headers(self) -> dict[str, str]:
        """What the proxy, and nobody else, is sent beside the request."""
        if self.user is None:
            return {}
        return {"Proxy-Authorization": f"Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode()}"}

    @property
    def secure(self) -> bool:
        """Whether the proxy itself is spoken to over TLS."""
        return self.address.startswith("https:")


def forward_proxy(base: str, environ: Mapping[str, str]) -> ForwardProxy | None:
    """The proxy for the upstream at `base`; None: it is reached directly.

    `https_proxy` or `http_proxy` by the upstream's scheme, else `all_proxy`; lower case counts before upper case, and
    an empty value is none. `no_proxy` exempts. A loopback upstream never has one: it would be the proxy's own machine.

    Raises:
        StartFault: the variable holds what cannot be used.
    """
    upstream = urlsplit(base)
    host, port = upstream.hostname or "", upstream.port or _PORTS[upstream.scheme]
    for variable in (f"{upstream.scheme}_proxy", "all_proxy"):
        name, value = _value(variable, environ)
        if value:
            if _loopback(host) or _exempt(host, port, _value("no_proxy", environ)[1]):
                return None
            return _read(name, value if "://" in value else f"http://{value}", host)
    return None


def _value(variable: str, environ: Mapping[str, str]) -> tuple[str, str]:
    name = variable if variable in environ else variable.upper()
    return name, environ.get(name, "").strip()


def _loopback(host: str) -> bool:
    address = _ip(host)
    return host == "localhost" or host.endswith(".localhost") or bool(address and address.is_loopback)


def _exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether the list has the host: by name or a parent's (`.example.com`, `*.example.com`), address, network, `*`."""
    return any(_matches(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _ip(host)
    if address and "/" in entry:
        return _in_network(address, entry)
    name, wanted = _without_port(entry)
    if wanted not in (None, port) or not name:
        return False
    if address:
        return _ip(name) == address
    name = name.removeprefix("*").lstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False


def _without_port(entry: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]:port`, or an IPv6 address bare."""
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and not (":" in name and not name.endswith("]")):
        return name.strip("[]"), int(port)
    return entry.strip("[]"), None


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _read(name: str, value: str, host: str) -> ForwardProxy:
    """The proxy that a variable's value names. The value is not repeated: it may hold a credential."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise StartFault(f"{name}: is not a URL: the host or the port cannot be read") from None
    if parts.scheme.startswith("socks"):
        raise StartFault(
            f"{name}: names a SOCKS proxy, which Openline cannot speak to: name an HTTP proxy,"
            f" or go without one by NO_PROXY={host}"
        )
    for problem, found in _problems(parts, value).items():
        if found:
            raise StartFault(f"{name}: {problem}")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    address = f"{parts.scheme}://{host}:{port or _PORTS[parts.scheme]}"
    if "@" not in parts.netloc:
        return ForwardProxy(address, variable=name)
    return ForwardProxy(address, unquote(parts.username or ""), unquote(parts.password or ""), name)


def _problems(parts: SplitResult, value: str) -> dict[str, bool]:
    return {
        "must begin with http:// or https://": parts.scheme not in _PORTS,
        "names no host": not parts.hostname,
        "must be ASCII, without blanks or control characters": not value.isascii()
        or any(char <= " " or char == "\x7f" for char in value),
        "must not have a path, a query or a fragment": parts.path not in ("", "/") or "?" in value or "#" in value,
        "has port 0, where nothing can listen": parts.port == 0,
        "has a user with a colon, which Basic authentication cannot carry": ":" in unquote(parts.username or ""),
    }
