"""An examination: all checks in their order, each of which goes on from what is known by then."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.config import Settings
from proxy.doctor import local
from proxy.doctor.checks import NAMES, Finding, Name, failed, note, ok, skipped
from proxy.doctor.creates import Creates
from proxy.doctor.credential import Credential
from proxy.doctor.packages import package
from proxy.doctor.road import Road
from proxy.doctor.state import folder, state
from proxy.doctor.transports import Transports
from proxy.settings_sources import ConfigError, Loaded

# What can only be asked of an upstream that is reached; the last two over a WebSocket.
_BEHIND = NAMES[NAMES.index("tls") + 1 :]


@dataclass(frozen=True, slots=True)
class Examination:
    """What is examined: `loaded` settings, or why there are none. `report` is told each finding at once."""

    loaded: Loaded | ConfigError
    environ: Mapping[str, str] = field(repr=False)
    credential: Credential
    model: str
    ask: local.Ask
    report: Callable[[Finding], None]

    async def run(self) -> None:
        """Report on every check."""
        self.report(config(self.loaded))
        self.report(package())
        self.report(state(folder(), os.geteuid()))
        if isinstance(self.loaded, ConfigError):
            self._skip(NAMES[3:], "the settings are not known, see config")
            return
        settings = self.loaded.settings
        self.report(await local.port(settings, self.ask))
        self.report(await local.admin(settings, self.ask))
        self.report(local.files(settings))
        await self._upstream(settings)

    async def _upstream(self, settings: Settings) -> None:
        road = Road(settings, self.environ)
        for look in (road.forward, road.dns, road.tls):
            self.report(await look())
        if road.way is None or road.blocked:
            self._skip(_BEHIND, f"the upstream is not reached, see {road.blocked}")
            return
        async with Transports(settings, road.way, self.credential) as transports:
            for ask in (transports.clock, transports.http, transports.websocket, transports.credential):
                self.report(await ask())
        if not transports.has_websocket:
            self._skip(_BEHIND[-2:], "it takes a WebSocket to tell, see websocket")
            return
        creates = Creates(settings, road.way, transports.key, self.model)
        self.report(await creates.ids())
        self.report(await creates.lanes())

    def _skip(self, names: Sequence[Name], why: str) -> None:
        for name in names:
            trouble = self.credential.trouble() if name == "credential" else None
            self.report(trouble or skipped(name, why))


def config(loaded: Loaded | ConfigError) -> Finding:
    """Whether the settings can be used, and which of them are not the defaults."""
    if isinstance(loaded, ConfigError):
        told = "; ".join((str(loaded), *loaded.others))
        what = "them" if loaded.others else "it"
        return failed("config", told, f"correct {what}: Openline does not start with {what}")
    where = str(loaded.file) if loaded.file else "no settings file"
    changed = [key for key, origin in loaded.origins.items() if origin.kind != "default"]
    text = f"{where}, {len(changed) or 'no'} {'setting' if len(changed) == 1 else 'settings'} beside the defaults"
    text += f": {', '.join(changed)}" if changed else ""
    mode = loaded.settings.mode
    if mode == "on":
        return ok("config", text)
    return note("config", f'{text}; mode = "{mode}" sends everything over plain HTTP', 'set mode = "on" for deltas')
