"""A serving proxy: its lines for programs, its file for the command line, and what SIGHUP does."""

import os
import shlex
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from proxy import __version__
from proxy.cli.client import Client, NoAnswer
from proxy.instance import instances
from proxy.lock import Lock
from tests.cli.daemons import until
from tests.cli.process import ran, started
from tests.cli.terminal import terminal

NOWHERE = "http://127.0.0.1:9/v1"


async def test_programs_read_json(tmp_path: Path) -> None:
    """Where stdout is no terminal each line is an object: that it listens, and to where; no path that may be secret."""
    environ = {"OPENLINE_LOG_FORMAT": "auto", "XDG_STATE_HOME": str(tmp_path)}
    upstream = "http://127.0.0.1:9/marker/v1"
    async with started("run", "--port", "0", "--upstream", upstream, environ=environ) as command:
        listening = msgspec.json.decode(await command.line(), type=dict[str, object])
        assert (listening["event"], listening["version"]) == ("listening", __version__)
        assert (listening["upstream"], listening["mode"]) == ("http://127.0.0.1:9/…", "on")
        (found,) = instances(tmp_path / "openline" / "running")
        assert (found.api, found.admin, found.pid) == (listening["api"], listening["admin"], command.pid)
        command.send(signal.SIGTERM)
        status, out, _ = await command.end()
    assert (status, msgspec.json.decode(out, type=dict[str, object])["text"]) == (0, "ended")
    assert list(instances(tmp_path / "openline" / "running")) == []


async def test_a_hang_up_reads_the_settings_anew(tmp_path: Path) -> None:
    """SIGHUP: what counts now and what waits is said; what cannot be used is said too, and the old settings stay."""
    file = tmp_path / "my.toml"
    file.write_text('mode = "off"\n')
    arguments = ("run", "--port", "0", "--upstream", NOWHERE, "--config", str(file))
    async with started(*arguments, environ={"XDG_STATE_HOME": str(tmp_path)}) as command:
        await command.base()
        (found,) = instances(tmp_path / "openline" / "running")
        file.write_text('mode = "observe"\nadmin_scope = "probes"\n')
        command.send(signal.SIGHUP)
        said = await command.line()
        assert said == ("openline: settings read anew, changed: mode; from the next start or restart on: admin_scope")
        file.write_text('mode = "fast"\n')
        command.send(signal.SIGHUP)
        said = await command.line()
        assert said.startswith("openline: the settings cannot be used, and the old ones stay: mode: expected")
        with pytest.raises(NoAnswer, match="and the old ones stay"):
            Client(found).post("/reload", {}, dict)
        assert Client(found).get("/status", dict[str, object])["mode"] == "observe"
        file.write_text('mode = "on"\n')
        assert Client(found).post("/reload", {}, dict[str, object]) == {"changed": ["mode"], "waiting": []}
        assert (await command.line()).endswith("changed: mode")
        command.send(signal.SIGHUP)
        assert (await command.line()).endswith("nothing changed that counts now")


async def test_without_a_state_folder_it_serves(tmp_path: Path) -> None:
    """Where no file can be left, that is said, and turns go on."""
    (tmp_path / "openline").write_text("not a folder")
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    async with started("run", "--port", "0", "--upstream", NOWHERE, environ=environ) as command:
        line = await command.line()
        assert line.startswith("openline: no file for the command line can be left (")
        command.send(signal.SIGTERM)
        assert (await command.end())[0] == 0


async def test_it_ends_with_its_terminal(tmp_path: Path) -> None:
    """A window that is closed leaves no proxy behind that nobody knows of."""
    words = (sys.executable, "-m", "proxy", "run", "--port", "0", "--upstream", NOWHERE)
    async with terminal(tmp_path, *words) as screen:
        await screen.until("admin: ")
        screen.close()
        assert await screen.ended() == 0
    assert list((tmp_path / "openline" / "running").iterdir()) == []


async def test_what_is_to_stay_does(tmp_path: Path) -> None:
    """Where hang-ups are ignored from the start, as by nohup, the terminal may go."""
    words = ("nohup", sys.executable, "-m", "proxy", "run", "--port", "0", "--upstream", NOWHERE)
    async with terminal(tmp_path, "sh", "-c", f"{shlex.join(words)} > {tmp_path}/out") as screen:
        await until(lambda: list(instances(tmp_path / "openline" / "running")) != [])
        (found,) = instances(tmp_path / "openline" / "running")
        os.kill(found.pid, signal.SIGHUP)
        os.kill(found.pid, signal.SIGTERM)
        await until(lambda: "ended" in (tmp_path / "out").read_text())
        assert "anew" not in (tmp_path / "out").read_text()
        assert await screen.ended() == 0


async def test_a_place_is_taken_once_who_has_it_has_ended(tmp_path: Path) -> None:
    """Who cannot take the lock yet serves all the same, and is found from the moment that the other lets go."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    lock = Lock.take(tmp_path / "openline" / "running" / f"127.0.0.1-{port}.lock")
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    async with started("run", "--port", str(port), "--upstream", NOWHERE, environ=environ) as command:
        await command.base()
        assert list(instances(tmp_path / "openline" / "running")) == []
        lock.release()
        await until(lambda: [one.pid for one in instances(tmp_path / "openline" / "running")] == [command.pid])
        command.send(signal.SIGTERM)
        assert (await command.end())[0] == 0


async def test_the_mode_that_is_not_one() -> None:
    """Flags are checked before anything starts."""
    status, _, err = await ran("run", "--log-format", "xml")
    assert status == 2
    assert err.startswith("openline: Invalid value for '--log-format'")
