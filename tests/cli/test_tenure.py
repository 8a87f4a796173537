"""A tenure: what a process is found by while it serves, and what becomes of that when another is to take over."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.cli.background.daemon import Place
from proxy.cli.background.succession import Elder
from proxy.cli.background.tenure import Tenure
from proxy.config import Settings
from proxy.errors import StartFault
from proxy.instance import Instance, InstanceFile, instances
from proxy.server.app import Openline
from proxy.tasks import Tasks
from tests.cli.daemons import runs, until

# An heir that has taken over all but the serving: it says that it is there, and waits.
_WAITS = """
import os, sys, time, pathlib
path = pathlib.Path(sys.argv[1])
path.with_name("draft").write_text(str(os.getpid()))
path.with_name("draft").rename(path)
time.sleep(60)
"""
# One that has signed in already when it finds that it cannot serve.
_ENDS = """
import os, sys
os.pwrite(int(sys.argv[3]), b"1" + b" " * 19, 0)
print("openline: not today", file=sys.stderr)
sys.exit(2)
"""


@dataclass
class Reign:
    """A process as it serves: this one."""

    app: Openline
    tenure: Tenure
    instance: Instance
    coming: Path

    @property
    def heir(self) -> int:
        """The process that is to take over."""
        return int(self.coming.read_text())

    def is_found(self) -> bool:
        """Whether the command line finds it."""
        return list(instances()) == [self.instance]


@pytest.fixture
async def reign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Reign]:
    """One whose heir runs the text that the test names."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    app = Openline(Settings(listen="127.0.0.1:0"), lambda _: None)
    ours, theirs = socket.socketpair()
    coming = tmp_path / "coming"
    tenure = Tenure((sys.executable, "-c", request.param, str(coming)), tmp_path / "log", Elder(theirs.detach()))
    base = await app.start()
    instance = Instance(
        pid=os.getpid(), version="1", api=base, admin=app.admin, control=app.control, started_at=time.time()
    )
    await tenure.begin(instance)
    tenure._settled = True  # not by saying so: that would send the test's own errors elsewhere
    yield Reign(app, tenure, instance, coming)
    tenure.stop(now=True)
    tenure.end()
    await app.close()
    if tenure._elder:
        tenure._elder._link.close()
    if tenure._file and tenure._file.lock:
        tenure._file.lock.leave()
    ours.close()


@pytest.mark.parametrize("reign", [_WAITS], indirect=True)
async def test_it_is_found_until_its_end(reign: Reign) -> None:
    """By its file and its lock; both go, and the lock itself is held until the process ends."""
    assert reign.is_found()
    reign.tenure.end()
    assert list(instances()) == []
    assert not Place.of(reign.instance.api).lock.exists()


@pytest.mark.parametrize("reign", [_ENDS], indirect=True)
async def test_who_does_not_come_to_serve_changes_nothing(reign: Reign) -> None:
    """The reason is given, this process is found as before, and another one may try."""
    for _ in range(2):
        with pytest.raises(StartFault, match=r"^not today$"):
            await reign.tenure.pass_on(reign.app)
        assert reign.is_found()
        assert not reign.app._resting


@pytest.mark.parametrize("reign", [_WAITS], indirect=True)
async def test_one_takes_over_at_a_time(reign: Reign) -> None:
    """A second one that is asked for meanwhile is refused; so is any once the end is near, which ends the first."""
    tasks = Tasks()
    first = tasks.start(reign.tenure.pass_on(reign.app), "restart")
    await until(reign.coming.exists)
    with pytest.raises(StartFault, match="another restart or a stop is under way"):
        await reign.tenure.pass_on(reign.app)
    reign.tenure.stop(now=False)
    with pytest.raises(StartFault, match="it was ended by SIGKILL"):
        await first
    assert not runs(reign.heir)
    with pytest.raises(StartFault, match="another restart or a stop is under way"):
        await reign.tenure.pass_on(reign.app)


@pytest.mark.parametrize("reign", [_WAITS], indirect=True)
async def test_who_asked_for_it_may_go_away(reign: Reign) -> None:
    """Then nobody takes over: the process that was to is ended, and this one goes on as it was."""
    tasks = Tasks()
    tasks.start(reign.tenure.pass_on(reign.app), "restart")
    await until(reign.coming.exists)
    await tasks.close()
    await until(lambda: not runs(reign.heir))
    assert reign.is_found()
    assert not reign.app._resting


@pytest.mark.parametrize("reign", [_ENDS], indirect=True)
async def test_who_asked_may_go_away_while_the_state_is_saved(reign: Reign) -> None:
    """Before anything has started, too: the next one who asks is heard."""
    tasks = Tasks()
    asked = tasks.start(reign.tenure.pass_on(reign.app), "restart")
    async with reign.app._saving:  # as long as another one saves, this one has to wait
        await until(lambda: reign.tenure._busy)
        assert not asked.done()
        await tasks.close()
    assert not reign.app._resting
    with pytest.raises(StartFault, match=r"^not today$"):
        await reign.tenure.pass_on(reign.app)


async def test_a_place_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who had it may end just now; so long it keeps it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    instance = Instance(
        pid=os.getpid(), version="1", api="http://127.0.0.1:1/v1", admin=None, control="", started_at=time.time()
    )
    before = InstanceFile(instance)
    before.write()
    after, tasks = Tenure(), Tasks()
    beginning = tasks.start(after.begin(instance), "begin")
    await asyncio.sleep(0)
    assert not beginning.done()
    assert before.lock
    before.remove()
    before.lock.leave()
    await beginning
    assert list(instances()) == [instance]
    after._settled = True
    after.end()


async def test_in_the_foreground_nobody_can_take_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was not started as a successor would be; without an elder there is nobody to wait for."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    tenure = Tenure()
    app = Openline(Settings(listen="127.0.0.1:0"), lambda _: None)
    assert (tenure.can_pass_on, tenure.control) == (False, None)
    with pytest.raises(StartFault):
        await tenure.pass_on(app)
    async with asyncio.timeout(1):
        await tenure.alone()
