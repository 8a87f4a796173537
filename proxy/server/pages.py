"""The pages of the admin listener: what each tells or does, and who may ask."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import msgspec

from proxy.config import Mode, Settings
from proxy.errors import Answer, Problem, Refused, StartFault
from proxy.server.reload import Reloader
from proxy.server.status import Status
from proxy.server.terms import Terms, digest, way
from proxy.settings_shown import show
from proxy.settings_sources import ConfigError, Origin
from proxy.telemetry.history import History
from proxy.telemetry.summary import Tallies

_JSON = {"content-type": "application/json"}
_MOST_TURNS = 500
Successor = Callable[[], Awaitable[int]]
"""Starts another process in this one's place; gives its pid once it serves. Raises StartFault: this one goes on."""


class Desk(Protocol):
    """What the pages show and change: a running proxy."""

    history: History
    tallies: Tallies
    reloader: Reloader | None
    successor: Successor | None
    origins: Mapping[str, Origin]
    mode: Mode

    @property
    def settings(self) -> Settings:
        """Those that it goes by now."""

    def status(self) -> Status:
        """How it is doing."""

    def metrics(self) -> tuple[bytes, str]:
        """The metrics, and their content type."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page is asked: its query's parameters, and the body."""

    query: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """One page. `whom`: probes too, everybody on this machine, or the owner alone, who shows the instance's secret."""

    answer: Callable[[Asked], Awaitable[Answer]]
    whom: Literal["probes", "all", "owner"]
    method: Literal["GET", "POST"] = "GET"


class _NewMode(msgspec.Struct, forbid_unknown_fields=True):
    mode: Mode


class Pages:
    """Every page of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.by_path: Mapping[str, Page] = {
            "/healthz": Page(self._health, "probes"),
            "/readyz": Page(self._ready, "probes"),
            "/metrics": Page(self._metrics, "probes"),
            "/status": Page(self._status, "all"),
            "/turns": Page(self._turns, "owner"),
            "/summary": Page(self._summary, "owner"),
            "/terms": Page(self._terms, "owner"),
            "/settings": Page(self._shown, "owner"),
            "/mode": Page(self._mode, "owner", "POST"),
            "/reload": Page(self._reload, "owner", "POST"),
            "/restart": Page(self._restart, "owner", "POST"),
        }

    async def _health(self, _: Asked) -> Answer:
        """The process is alive."""
        identity = self._desk.status().identity
        return _json(identity if self._desk.settings.admin_scope == "all" else {"name": identity.name})

    async def _ready(self, _: Asked) -> Answer:
        """Whether a new turn would be taken now."""
        reason = self._desk.status().unready
        if reason is None:
            return _json({"ready": True})
        return _json({"ready": False, "reason": reason}, status=503)

    async def _metrics(self, _: Asked) -> Answer:
        """For Prometheus."""
        body, kind = self._desk.metrics()
        return Answer(200, body, {"content-type": kind})

    async def _status(self, _: Asked) -> Answer:
        """How it is doing, laid out for a person too."""
        return Answer(200, msgspec.json.format(msgspec.json.encode(self._desk.status())) + b"\n", _JSON)

    async def _turns(self, asked: Asked) -> Answer:
        """The latest turns, oldest first."""
        return _json({"turns": self._desk.history.latest(_count(asked), asked.query.get("run"))})

    async def _summary(self, asked: Asked) -> Answer:
        """What they come to: all of them, or those of one run."""
        run = asked.query.get("run")
        told = self._desk.tallies.summary() if run is None else self._desk.tallies.of(run)
        if told is None:
            raise Refused(Problem.RUN)
        return _json(told)

    async def _terms(self, _: Asked) -> Answer:
        """Whether another command may send its turns here."""
        settings = self._desk.settings
        told = Terms(
            digest=digest(settings, self._desk.mode, os.environ),
            way=way(settings, os.environ),
            upstream=settings.upstream.url,
            mode=self._desk.mode,
            token=settings.token is not None,
            ready=self._desk.status().unready is None,
        )
        return _json(told)

    async def _shown(self, _: Asked) -> Answer:
        """The settings that it goes by, and where each came from."""
        settings, origins = self._desk.settings, self._desk.origins
        if self._desk.mode != settings.mode:
            settings = msgspec.structs.replace(settings, mode=self._desk.mode)
            origins = {**origins, "mode": Origin("command", "openline mode")}
        return _json(show(settings, origins))

    async def _mode(self, asked: Asked) -> Answer:
        """What is done with turns from now on; the setting counts again from the next start or reload on."""
        try:
            self._desk.mode = msgspec.json.decode(asked.body, type=_NewMode).mode
        except msgspec.MsgspecError as error:
            raise Refused(Problem.BAD_REQUEST, f"a mode is one of {', '.join(get_args(Mode))}") from error
        return _json({"mode": self._desk.mode})

    async def _reload(self, _: Asked) -> Answer:
        """Go by the settings as they are now."""
        if self._desk.reloader is None:
            raise Refused(Problem.BAD_REQUEST, "this process has no settings to read anew")
        try:
            told = self._desk.reloader()
        except (ConfigError, StartFault) as error:
            raise Refused(Problem.SETTINGS, str(error)) from error
        return _json(told)

    async def _restart(self, _: Asked) -> Answer:
        """Have another process take over, with the settings and the version as they are now; no caller is refused."""
        if self._desk.successor is None:
            detail = "it runs in the foreground, or as a service: restart it there, or use `openline start`"
            raise Refused(Problem.SUCCESSION, detail)
        try:
            pid = await self._desk.successor()
        except StartFault as fault:
            raise Refused(Problem.SUCCESSION, str(fault)) from fault
        return _json({"pid": pid})


def _count(asked: Asked) -> int:
    """How many turns are asked for."""
    text = asked.query.get("count", "50")
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_MOST_TURNS)):
        raise Refused(Problem.BAD_REQUEST, f"count is a number from 0 to {_MOST_TURNS}")
    return int(text)


def _json(value: object, *, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value), _JSON)
