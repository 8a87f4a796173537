"""A plan: what a service runs, where it listens, and what it must be told of this shell, as it has none."""

import contextlib
import math
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from proxy.cli.flags import Flags
from proxy.errors import StartFault
from proxy.settings_sources import CONFIG_VARIABLE, FLAGS, PREFIX, TOKEN_VARIABLE, Loaded
from proxy.upstream.way import way_upstream

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_PATHS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME")
RECORDED = (*_PROXIES, *(name.lower() for name in _PROXIES), *_PATHS)
"""What is recorded beside the settings in the environment: all that Openline reads of one. No key is among it."""
# Beyond drain_seconds: to close what is left, and to write the last lines.
_CLOSE_SECONDS = 10
_CREDENTIAL = re.compile(r"^(\w+://)?.*@")


class Unfit(Exception):
    """These settings, or this shell, are nothing for a service. The one line says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the files of a service are made from."""

    command: tuple[str, ...]
    """The interpreter and its arguments."""
    addresses: tuple[tuple[str, int], ...]
    environment: Mapping[str, str] = field(repr=False)
    stop_seconds: int
    """How long it may take to end."""

    @property
    def listen(self) -> tuple[str, ...]:
        """The addresses as they are written."""
        return tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.addresses)

    @property
    def masked(self) -> "Plan":
        """The same to be shown: a proxy's user and password are left out."""
        proxies = {name.lower() for name in _PROXIES}
        shown = {
            name: _CREDENTIAL.sub(r"\1…@", value) if name.lower() in proxies else value
            for name, value in self.environment.items()
        }
        return replace(self, environment=shown)


def absolute(given: Flags) -> Flags:
    """The same flags wherever they are read: a service starts in another folder."""
    flags = {key: _whole(str(value)) if key == "token_file" else value for key, value in given.given.items()}
    return Flags(flags, given.config.absolute() if given.config else None)


def plan(given: Flags, loaded: Loaded, environ: Mapping[str, str], python: str) -> Plan:
    """What to run by these flags, which `absolute` made, and the settings that they and `environ` give.

    Raises:
        Unfit: a service cannot have it so.
    """
    settings = loaded.settings
    if TOKEN_VARIABLE in environ:
        raise Unfit(
            f"{TOKEN_VARIABLE}: a token is not written into a service's files: put it in a file of its own (chmod 600)"
            " and name that in token_file"
        )
    if settings.listen_port == 0:
        which = "port 0 is another port at each start, and callers need one that stays: choose one"
        raise Unfit(f"listen: {which} ({loaded.origins['listen']})")
    environment = _recorded(environ)
    _check_paths(loaded, environment)
    try:
        way_upstream(settings, environment)
    except StartFault as fault:
        raise Unfit(str(fault)) from None
    # -P: in its folder, the user's own, something may be called as a module of ours.
    command = (python, "-P", "-m", "proxy", "run", *_arguments(given))
    for name, text in (("the command", " ".join(command)), *environment.items()):
        if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
            raise Unfit(f"{name}: holds a control character, or bytes that are no UTF-8, which no service's file can")
    stop = math.ceil(settings.drain_seconds) + _CLOSE_SECONDS
    return Plan(command, _addresses(settings.listen_host, settings.listen_port), environment, stop)


def _arguments(given: Flags) -> Sequence[str]:
    """The flags, as they are written."""
    words: list[str] = []
    for key, value in given.given.items():
        words += [FLAGS[key]] if value is True else [FLAGS[key], str(value)]
    return [*words, "--config", str(given.config)] if given.config else words


def _recorded(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that Openline reads and a service would not have."""
    found = {name: value for name, value in environ.items() if name in RECORDED or name.startswith(PREFIX)}
    if found.get(CONFIG_VARIABLE):
        found[CONFIG_VARIABLE] = str(Path(found[CONFIG_VARIABLE]).absolute())
    return dict(sorted(found.items()))


def _whole(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100,PTH111 - these raise nothing


def _check_paths(loaded: Loaded, environment: Mapping[str, str]) -> None:
    """Refuse what is told from the folder that the shell is in."""
    settings, origins = loaded.settings, loaded.origins
    kind, _, admin = settings.admin_listen.partition(":")
    told = [
        ("token_file", settings.token_file, f" ({origins['token_file']})"),
        ("upstream.ca_file", settings.upstream.ca_file, f" ({origins['upstream.ca_file']})"),
        ("admin_listen", admin if kind == "unix" else "", f" ({origins['admin_listen']})"),
        *((name, each, "") for name in _PATHS for each in environment.get(name, "").split(os.pathsep)),
    ]
    for name, path, where in told:
        if path and not path.startswith(("/", "~")):
            raise Unfit(f"{name}: {path!r} begins at this shell's folder, a service has another: write it whole{where}")


def _addresses(host: str, port: int) -> tuple[tuple[str, int], ...]:
    """Where `openline run` would listen: each address of the host that this machine has. Raises Unfit."""
    here: list[tuple[str, int]] = []
    why = ""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.bind((address[0], 0, *address[2:]))
                here.append((str(address[0]), port))
    except OSError as error:  # a name that nobody knows
        why = f": {error.strerror}"
    if not here:
        raise Unfit(f"listen: {host!r} is no address of this machine{why}")
    if any("%" in name for name, _ in here):
        raise Unfit(f"listen: {host!r} is an address within one interface, which a service's file cannot name")
    return tuple(here)
