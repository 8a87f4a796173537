"""Tour: clients installed and put through their scripts, several at a time."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.clients.client import Client
from tests.clients.driver import DriverError
from tests.clients.environment import Environment, InstallError, Packages, installed
from tests.clients.progress import Progress
from tests.clients.record import Measured, Mode
from tests.clients.run import both
from tests.clients.scripts import Script
from tests.clients.table import told
from tests.clients.verdict import Verdict, judge

_INSTALLS_AT_ONCE = 2
_NO_REGISTRY = "Is the registry of {0} within reach from here? Mirrors and proxies are named in {0}'s own settings."


@dataclass(frozen=True)
class Stop:
    """One client, and for each of its modes the scripts that it is put through."""

    client: Client
    scripts: Mapping[str, Sequence[Script]]

    def __len__(self) -> int:
        return sum(map(len, self.scripts.values()))


class Tour:
    """`jobs`: how many scripts run at once. `measured` is told of each client when all its scripts are done."""

    def __init__(
        self,
        stops: Sequence[Stop],
        *,
        jobs: int,
        fresh: bool,
        show: bool,
        measured: Callable[[str, Measured], None],
    ) -> None:
        self.wrong: dict[str, list[str]] = {}
        """By client and mode, the scripts that were not as promised."""
        self.absent: list[str] = []
        """Clients that could not be installed."""
        self._stops = stops
        self._fresh = fresh
        self._show = show
        self._measured = measured
        self._jobs = asyncio.Semaphore(jobs)
        self._installs = asyncio.Semaphore(_INSTALLS_AT_ONCE)
        self._progress = Progress(sum(map(len, stops)))

    async def run(self) -> dict[str, Measured]:
        """All of it; gives what was measured, in the order of the stops."""
        try:
            async with asyncio.TaskGroup() as group:
                wanted = dict.fromkeys(stop.client.packages for stop in self._stops)
                ready = {packages: group.create_task(self._install(packages)) for packages in wanted}
                went = [group.create_task(self._visit(stop, ready[stop.client.packages])) for stop in self._stops]
        finally:
            self._progress.close()
        found = zip(self._stops, (task.result() for task in went), strict=True)
        return {stop.client.name: measured for stop, measured in found if measured}

    async def _install(self, packages: Packages) -> Environment | InstallError:
        async with self._installs:
            what = f"installing {packages.names[0]}"
            self._progress.begin(what)
            began = time.monotonic()
            try:
                environment = await installed(packages, fresh=self._fresh)
            except InstallError as error:
                return error
            finally:
                self._progress.end(what)
        if environment.new:
            versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
            self._progress.say(f"installed in {time.monotonic() - began:.0f} s: {versions}")
        return environment

    async def _visit(self, stop: Stop, ready: "asyncio.Task[Environment | InstallError]") -> Measured | None:
        name = stop.client.name
        environment = await ready
        if isinstance(environment, InstallError):
            self.absent.append(name)
            registry = _NO_REGISTRY.format(stop.client.packages.kind) if stop.client.packages.kind != "none" else ""
            self._progress.say(f"{name}: not installed: {environment}\n{registry}".rstrip())
            return None
        measured = Measured(datetime.now(UTC).date().isoformat(), dict(environment.versions))
        async with asyncio.TaskGroup() as group:
            modes = {mode: group.create_task(self._mode(stop, mode, environment)) for mode in stop.scripts}
        measured.modes.update({mode: task.result() for mode, task in modes.items()})
        self._measured(name, measured)
        return measured

    async def _mode(self, stop: Stop, mode: str, environment: Environment) -> Mode:
        scripts = stop.scripts[mode]
        async with asyncio.TaskGroup() as group:
            judged = [group.create_task(self._one(stop.client, mode, script, environment)) for script in scripts]
        went = Mode()
        for script, task in zip(scripts, judged, strict=True):
            went.add(script.name, task.result())
        wrong = [script for script, state in went.scripts.items() if state == "wrong"]
        if wrong:
            self.wrong[f"{stop.client.name}/{mode}"] = wrong
        share = f", {went.share} continuations were deltas" if went.continuations else ""
        fine = len(scripts) - len(wrong)
        self._progress.say(f"{stop.client.name}/{mode}: {fine} of {len(scripts)} scripts as promised{share}")
        return went

    async def _one(self, client: Client, mode: str, script: Script, environment: Environment) -> Verdict:
        """One script; a client whose process fails is a verdict too."""
        async with self._jobs:
            what = f"{client.name}/{mode} {script.name}"
            self._progress.begin(what)
            try:
                pair = await both(client, mode, script, environment)
            except DriverError as error:
                verdict = Verdict((str(error),))
            else:
                verdict = judge(pair)
                if self._show:
                    self._progress.say(told(pair))
            finally:
                self._progress.end(what, done=1)
        for line in verdict.wrong:
            self._progress.say(f"{client.name}/{mode}: {script.name}: {line}")
        return verdict
