"""Settings: frozen, validated, each documented in config.example.toml and docs/settings.md.

What is wrong with a value by itself stands here; where values come from stands in settings_sources.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from proxy.token import Token

Mode = Literal["on", "observe", "off"]
Match = Literal["strict", "faithful", "relaxed"]
Answer = Literal["auto", "yes", "no"]
Lanes = Literal["auto", "on", "off"]
Images = Literal["socket", "http"]
Scope = Literal["all", "probes"]
LogFormat = Literal["auto", "human", "json"]

_YEAR = 31_536_000.0  # no wait of ours is longer; an upper bound makes a slip, or `inf`, an error at the start
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=_YEAR)]
SomeSeconds = Annotated[float, msgspec.Meta(ge=0.001, le=_YEAR)]  # where 0 would mean "fail at once, always"
Count = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
CountOrZero = Annotated[int, msgspec.Meta(ge=0, le=2**62)]

_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a field name, RFC 9110 section 5.1
_FIELD_VALUE = re.compile(r"[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
# Of any scheme: pages of desktop programs have their own (app://, vscode-webview://).
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_USUAL_PORT = re.compile(r"http://.*:80|https://.*:443", re.IGNORECASE)
# The shortest of the systems' limits on a socket's path, its closing zero apart.
_SOCKET_PATH_BYTES = 103
OWN_HEADERS = "x-openline-"
"""How the names of headers to Openline itself begin: they do not go upstream."""


class InvalidSettingError(ValueError):
    """A value that cannot be used: `key` is its name within its table, `problem` says why."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def _address(key: str, text: str, usual: int) -> tuple[str, int]:
    """`HOST:PORT` or `[IPV6]:PORT` in its two parts."""
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        raise InvalidSettingError(key, f"{text!r} has no port: write it as 127.0.0.1:{usual}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidSettingError(key, f"{text!r}: an IPv6 address goes in brackets, as in [::1]:{usual}")
    if not host:
        raise InvalidSettingError(key, f"{text!r} has no host: write it as 127.0.0.1:{usual}")
    if not _is_host(host):
        raise InvalidSettingError(key, f"{text!r}: no host has such a name (a part is empty or too long)")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise InvalidSettingError(key, f"{port!r} is not a port: it must be a number from 0 to 65535")
    return host, int(port)


def _is_host(host: str) -> bool:
    """Whether it can be looked up at all: the system's way of asking raises errors of no kind of its own."""
    try:
        return b"\0" not in host.encode("idna")
    except UnicodeError:
        return False


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_url(url: str) -> None:
    """Refuse what no path can be added to. The URL is not repeated: it may hold a credential."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port != 0
    except ValueError:
        raise InvalidSettingError("url", "is not a URL: the host or the port cannot be read") from None
    if parts.scheme in {"ws", "wss"}:
        raise InvalidSettingError("url", "must begin with http:// or https:// (ws and wss follow from these)")
    problems = {
        "must begin with http:// or https://": parts.scheme not in {"http", "https"},
        "must not hold white space or control characters": re.search(r"[\s\x00-\x1f\x7f]", url) is not None,
        "names no host": not parts.hostname,
        "names a host that cannot be (a part of its name is empty or too long)": not _is_host(parts.hostname or ""),
        "has port 0, where nothing can listen": not port_ok,
        "must not hold a user or password: credentials come with each call": "@" in parts.netloc,
        "must not have a query (?…)": "?" in url,
        "must not have a fragment (#…)": "#" in url,
    }
    for problem, found in problems.items():
        if found:
            raise InvalidSettingError("url", problem)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the settings file. Ranges are checked when a file is read, the rest when it is made."""


class Upstream(Section, frozen=True, kw_only=True):
    """The API host, and what is known of it beyond the capabilities table (`auto`: by host name)."""

    url: str = "https://api.openai.com/v1"
    verifies_ids: Answer = "auto"
    lanes: Lanes = "auto"
    summaries_count: Answer = "auto"
    age_limit_seconds: Seconds = 0.0
    frame_limit_bytes: CountOrZero = 0
    identity_headers: tuple[str, ...] = ()
    semantic_headers: tuple[str, ...] = ()
    images: Images = "socket"
    beta_header: str = ""
    compression: bool = True
    ca_file: str = ""

    def __post_init__(self) -> None:
        """Check the texts; a closing slash of the URL is dropped, so that paths can be added to it."""
        _check_url(self.url)
        msgspec.structs.force_setattr(self, "url", self.url.rstrip("/"))
        for key, names in (
            ("identity_headers", self.identity_headers),
            ("semantic_headers", self.semantic_headers),
        ):
            for name in names:
                if not _FIELD_NAME.fullmatch(name):
                    raise InvalidSettingError(key, f"{name!r} is not a header name")
                if name.lower().startswith(OWN_HEADERS):
                    raise InvalidSettingError(key, f"{name!r} is a header to Openline itself: it does not go upstream")
        if self.beta_header and not _FIELD_VALUE.fullmatch(self.beta_header):
            raise InvalidSettingError("beta_header", "must be plain ASCII text, as a header's value is")


class Pool(Section, frozen=True, kw_only=True):
    """How many sockets are held, and for how long."""

    max_connections: Count = 128
    max_connections_per_key: Count = 32
    wait_seconds: Seconds = 1.0
    min_remaining_seconds: Seconds = 300.0
    doubtful_after_seconds: Seconds = 20.0
    pong_seconds: SomeSeconds = 3.0
    breaker_failures: Count = 3
    breaker_seconds: Seconds = 30.0
    recheck_seconds: Seconds = 300.0
    http_connections: Count = 512


class Heads(Section, frozen=True, kw_only=True):
    """How many points to continue from are remembered, and for how long."""

    max_count: Count = 20_000
    max_age_seconds: SomeSeconds = 86_400.0
    survive_restarts: bool = True


class Timeouts(Section, frozen=True, kw_only=True):
    """The longest waits, in seconds."""

    dial_seconds: SomeSeconds = 5.0
    detour_seconds: SomeSeconds = 5.0
    first_event_seconds: SomeSeconds = 600.0
    silence_seconds: SomeSeconds = 600.0
    write_seconds: SomeSeconds = 60.0
    keepalive_seconds: SomeSeconds = 15.0
    header_seconds: SomeSeconds = 30.0


class Limits(Section, frozen=True, kw_only=True):
    """The largest things accepted."""

    body_bytes: Count = 134_217_728
    items: Count = 50_000
    depth: Count = 128
    connections: Count = 512
    requests: Count = 512


class Settings(Section, frozen=True, kw_only=True):
    """All settings of one proxy. `token` is what `token_file` or OPENLINE_TOKEN gave: no setting, and in no file."""

    mode: Mode = "on"
    match: Match = "faithful"
    listen: str = "127.0.0.1:6736"
    token_file: str = ""
    admin_listen: str = "auto"
    admin_scope: Scope = "all"
    drain_seconds: Seconds = 8.0
    replay: Literal["always", "unsent"] = "always"
    after_loss: Literal["cut", "failed"] = "cut"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    verbose: bool = False
    log_format: LogFormat = "auto"
    upstream: Upstream = Upstream()
    pool: Pool = Pool()
    heads: Heads = Heads()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    token: Token | None = None

    def __post_init__(self) -> None:
        """Check the addresses and the names of who may call."""
        self._check_listeners()
        for host in self.allowed_hosts:
            if not _HOST.fullmatch(host) or re.fullmatch(r"[^:]*:[0-9]+", host):
                raise InvalidSettingError("allowed_hosts", f"{host!r} is not a host without a port, such as box.local")
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise InvalidSettingError(
                    "allowed_origins", f"{origin!r} is not an origin, such as http://localhost:3000"
                )
            if _USUAL_PORT.fullmatch(origin):
                raise InvalidSettingError(
                    "allowed_origins", f"{origin!r}: browsers leave the usual port out, so do here"
                )

    def _check_listeners(self) -> None:
        if self.token_file and self.token is None:
            raise InvalidSettingError("token_file", "names a file that was not read")  # never listen without it
        if self.token is None and not is_loopback(self.listen_host):
            raise InvalidSettingError(
                "listen",
                f"{self.listen_host!r} is not a loopback address, and whoever reaches it could use the upstream: set"
                " token_file (or OPENLINE_TOKEN), or listen on 127.0.0.1",
            )
        if isinstance(self.admin_address, tuple):
            host, port = self.admin_address
            if self.admin_scope != "probes" and not is_loopback(host):
                raise InvalidSettingError(
                    "admin_listen",
                    f"{host!r} is not a loopback address, and whoever reaches it could read its status: set"
                    ' admin_scope = "probes", or use 127.0.0.1 or unix:PATH',
                )
            if port and (host, port) == (self.listen_host, self.listen_port):
                raise InvalidSettingError("admin_listen", 'is the address of `listen`: use another port, or "auto"')

    @property
    def listen_host(self) -> str:
        """The address to listen on, without brackets."""
        return _address("listen", self.listen, 6736)[0]

    @property
    def listen_port(self) -> int:
        """The port to listen on; 0 lets the system pick a free one."""
        return _address("listen", self.listen, 6736)[1]

    @property
    def admin_address(self) -> Literal["auto", "off"] | Path | tuple[str, int]:
        """Where the admin listener is: `auto`, `off`, a socket's path, or host and port."""
        if self.admin_listen in ("auto", "off"):
            return "auto" if self.admin_listen == "auto" else "off"
        kind, colon, path = self.admin_listen.partition(":")
        if not colon:
            raise InvalidSettingError(
                "admin_listen", f'{self.admin_listen!r} is not "auto", "off", HOST:PORT or unix:PATH'
            )
        if kind == "unix" and colon:
            full = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100,PTH111 - these raise nothing
            if not path or "\0" in path or len(os.fsencode(full)) > _SOCKET_PATH_BYTES:
                problem = f"a socket's full path may have {_SOCKET_PATH_BYTES} bytes: write it as unix:/a/short/path"
                raise InvalidSettingError("admin_listen", problem)
            return Path(full)
        return _address("admin_listen", self.admin_listen, 6735)
