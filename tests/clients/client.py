"""Client: what the catalogue says of one: how it is installed, used and set up, and which scripts it goes through."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.clients.environment import Packages
from tests.clients.scripts import SCRIPTS, Script

# Settings of Openline under which the clients are run too whose answers come back changed. `relaxed` may give the model
# more than the client sent; `openai` is what Openline sets by itself for api.openai.com.
RELAXED = "relaxed"
WITH: Mapping[str, Mapping[str, str]] = {
    RELAXED: {"OPENLINE_MATCH": "relaxed"},
    "openai": {"OPENLINE_UPSTREAM__SUMMARIES_COUNT": "no"},
}


@dataclass(frozen=True)
class Client:
    """One client. `modes`: the ways of using it that its driver knows; each goes through every script.

    `brief`: modes that reach the API as another one does, and so go through the brief scripts alone.
    `quick`: the modes that CI puts through every script; `skim`: through the main scripts alone. Of a client that has
    neither, CI puts the first mode through the script that every client goes through.
    `whole`: it sends back all that the model said, so that all but the first turn of a conversation can be deltas;
    where not, `limits` says why.
    `own`: patterns of what it makes up anew in each run. `variable`: where it looks for the base URL.
    `simulate`: flags that the simulator needs for it; `settings`: what its user sets in Openline's environment.
    `direct`: further flags of a simulator that it talks to without Openline. A mode `MODE+NAME` is MODE with the
    settings `WITH[NAME]`; it goes through the scripts that count. `whole_in`: where `whole` is true all the same.
    """

    name: str
    title: str
    packages: Packages
    driver: str
    modes: tuple[str, ...]
    setup: tuple[str, ...]
    limits: str = ""
    brief: frozenset[str] = frozenset()
    quick: tuple[str, ...] = ()
    skim: tuple[str, ...] = ()
    whole: bool = True
    own: tuple[tuple[re.Pattern[str], str], ...] = ()
    variable: str = "OPENAI_BASE_URL"
    environ: Mapping[str, str] = field(default_factory=dict)
    simulate: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    direct: tuple[str, ...] = ()
    whole_in: frozenset[str] = frozenset()

    def openline(self, mode: str) -> Mapping[str, str]:
        """What Openline's environment is in this mode."""
        _, _, name = mode.partition("+")
        return {**self.settings, **(WITH[name] if name else {})}

    def listed(self, mode: str) -> str:
        """A mode, marked where CI runs more of it than of every client."""
        return f"{mode}{'*' if mode in self.quick else '°' if mode in self.skim else ''}"

    def scripts(self, mode: str, *, quick: bool = False) -> list[Script]:
        """The scripts that this mode goes through: all of its own, or with `quick` what CI has time for."""
        if "+" in mode:
            some = [script for script in SCRIPTS if script.counts]
        else:
            some = [script for script in SCRIPTS if script.brief or mode not in self.brief]
        if not quick or mode in self.quick:
            return some
        if mode in self.skim:
            return [script for script in some if script.skim]
        glimpsed = not self.quick and not self.skim and mode == self.modes[0]
        return [script for script in some if script.glimpse and glimpsed]
