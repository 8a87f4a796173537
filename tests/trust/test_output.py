"""Nothing private is in what the process prints, logs or keeps, however verbose it is and whatever goes wrong."""

import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.cli.process import ROOT, started
from tests.fuzz.upstream import Cut, Upstream
from tests.trust.markers import HEADERS, MARKERS, forms, found
from tests.trust.session import ALL, Caller, Quoting, everything, free_port, furnished, reply, run

# As Python itself can be told from outside to say more: its developer mode, and everything that any library logs.
LOUD = """\
import logging
logging.basicConfig(level=logging.DEBUG)
logging.debug("loud")
"""
# A slow machine makes asyncio's debug mode tell of every callback, with its arguments.
SLOW = """\
import asyncio.base_events
asyncio.base_events.BaseEventLoop.slow_callback_duration = 0.0
_made = asyncio.base_events.BaseEventLoop.__init__
def _slow(self):
    _made(self)
    self.slow_callback_duration = 0.0
asyncio.base_events.BaseEventLoop.__init__ = _slow
"""
NO_UVLOOP = "raise ImportError\n"
# A fault of our own in the middle of a turn, for a prompt that asks for it.
BUGGY = """\
import sys
from proxy.cli import main
from proxy.turns.memory import Memory
_note = Memory.note
def note(self, turn, lease, said):
    if b"trip over" in turn.request.body:
        raise RuntimeError("a fault of ours")
    _note(self, turn, lease, said)
Memory.note = note
main()
"""


def kept(folder: Path) -> dict[str, bytes]:
    """Every file that the process left."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


VARIANTS = {
    "verbose": {},
    "loud": {"sitecustomize.py": LOUD + SLOW},
    "loud without uvloop": {"sitecustomize.py": LOUD + SLOW, "uvloop.py": NO_UVLOOP},
}


@pytest.mark.parametrize("variant", VARIANTS)
async def test_nothing_private_is_printed_logged_or_kept(variant: str, tmp_path: Path) -> None:
    """After a session of successes and failures, no marker is in any output, file or endpoint of ours, in any form."""
    modules, folder = tmp_path / "modules", tmp_path / "kept"
    modules.mkdir()
    furnished(folder)
    for name, text in VARIANTS[variant].items():
        (modules / name).write_text(text)
    environ = {"PYTHONPATH": f"{modules}{os.pathsep}{ROOT}"}
    if variant != "verbose":
        environ["PYTHONASYNCIODEBUG"] = "1"
    quoting = Quoting()
    upstream = Upstream(quoting.answer, quoting.plain, quoting.upgrade)
    python = () if variant == "verbose" else ("-X", "dev")
    admin = f"127.0.0.1:{free_port()}"
    environ |= {"OPENLINE_TOKEN": HEADERS["own token"], "OPENLINE_ADMIN_LISTEN": admin}
    async with (
        upstream.serving() as url,
        aiohttp.ClientSession() as session,
        run(folder, url, python=python, code=BUGGY, environ=environ) as running,
    ):
        caller = Caller(session, running.base, f"http://{admin}")
        await everything(caller, quoting)
        out = await running.end()
    # The search would find what is there: the upstream was asked with all of it, and the process was loud.
    assert len(upstream.creates) > 40
    assert ("DEBUG:root:loud" in (folder / "stderr").read_text()) == (variant != "verbose")
    files = kept(folder)
    assert any(name.endswith(".msgpack") for name in files)
    for name, data in {**files, "stdout": out, "endpoints": b"".join(caller.ours)}.items():
        assert found(data) == [], (name, context(data))


def context(data: bytes) -> list[bytes]:
    """Where in the data markers stand, for whom the test tells that there are some."""
    spots = [data.find(form) for text in MARKERS.values() for form in forms(text) if form in data]
    return [data[max(0, at - 300) : at + 100] for at in spots[:3]]


def forward_proxy(url: str) -> dict[str, str]:
    """The environment that names this forward proxy for everything."""
    return {"HTTP_PROXY": url, "http_proxy": url, "NO_PROXY": "", "no_proxy": "", "PYTHONASYNCIODEBUG": "1"}


async def test_a_password_of_a_forward_proxy_is_not_told(tmp_path: Path) -> None:
    """Credentials in HTTP_PROXY stay there, also when the forward proxy cannot be reached or refuses them."""
    refusing = Upstream(lambda _create: [], lambda _create: [reply(407, ALL.encode()), Cut("close")])
    async with refusing.serving() as there:
        port = there.removesuffix("/v1").rpartition(":")[2]
        for where in ("9", port):
            folder = furnished(tmp_path / where)
            environ = forward_proxy(f"http://me:{HEADERS['password']}@127.0.0.1:{where}")
            async with (
                aiohttp.ClientSession() as session,
                run(folder, "http://nowhere.invalid/v1", environ=environ) as running,
            ):
                caller = Caller(session, running.base, running.base.removesuffix("/v1"))
                await caller.create("go on", stream=True)
                await caller.create("go on", stream=False, headers={"Cookie": HEADERS["cookie"]})
                await caller.look()
                out = await running.end()
            for name, data in {**kept(folder), "stdout": out, "endpoints": b"".join(caller.ours)}.items():
                assert found(data) == [], (name, context(data))


@pytest.mark.parametrize("port", [f"x{HEADERS['password']}", "99999", "-1", ""])
async def test_a_forward_proxy_that_is_no_url_is_not_quoted(port: str) -> None:
    """Where HTTP_PROXY cannot be read, what is said of it does not repeat it."""
    environ = {**forward_proxy(f"http://me:{HEADERS['password']}@127.0.0.1:{port}"), "OPENLINE_DRAIN_SECONDS": "0"}
    async with started("run", "--port", "0", "--upstream", "http://nowhere.invalid/v1", environ=environ) as command:
        first = await command.line()
        if first:
            command.send(signal.SIGTERM)
        _, out, err = await command.end()
    assert found(f"{first}{out}{err}".encode()) == []


def test_the_search_finds_what_it_looks_for() -> None:
    """Each form of each marker is found where it stands among other bytes, and nothing where there is none."""
    for name, text in MARKERS.items():
        for form in forms(text):
            assert name in found(b"log: " + form + b"\n")
    assert found(b"nothing private here, only sk- and resp_1") == []
