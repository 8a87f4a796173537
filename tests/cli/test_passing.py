"""A passing proxy: serves at its berth, leaves the terminal alone, and is gone at the end of the block."""

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from proxy.cli.execution.berth import Berth
from proxy.cli.execution.passing import passing
from proxy.config import Settings, Upstream
from proxy.simulator import Simulator

CREATE = {"model": "gpt-5.4", "input": "hello", "store": False}


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


async def test_it_serves_those_who_waited(tmp_path: Path) -> None:
    """A call made before it is there is answered, by the sockets and the secret of the berth."""
    body = msgspec.json.encode(CREATE)
    head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Length: {len(body)}"
    with Berth() as berth, (tmp_path / "log").open("ab") as file:
        async with Simulator() as simulator:
            settings = Settings(upstream=Upstream(url=await simulator.start()), log_format="human")
            reader, writer = await asyncio.open_connection("127.0.0.1", berth.instance.port)
            writer.write(f"{head}\r\n\r\n".encode() + body)
            await writer.drain()
            async with passing(berth, settings, {}, file) as app:
                assert app.control == berth.instance.control
                assert (app.status().identity.api, app.admin) == (berth.instance.api, berth.instance.admin)
                async with asyncio.timeout(20):
                    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            writer.close()
    assert (tmp_path / "log").read_text().startswith("full   200  first")


async def test_nothing_is_written_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What libraries warn of goes to the file, and nowhere where there is none; afterwards all is as before."""
    with Berth() as berth, (tmp_path / "log").open("ab") as file:
        async with passing(berth, Settings(), {}, file):
            logging.getLogger("aiohttp.server").error("went %s", "wrong")
    assert (tmp_path / "log").read_text().count("went wrong") == 1
    with Berth() as berth:
        async with passing(berth, Settings(), {}, None):
            logging.getLogger("aiohttp.server").error("went wrong again")
    assert capfd.readouterr() == ("", "")
    logging.getLogger("aiohttp.server").error("went wrong at last")
    assert "at last" not in (tmp_path / "log").read_text()


async def test_a_berth_that_is_not_found_is_told(tmp_path: Path) -> None:
    """In the file."""
    with Berth() as berth, (tmp_path / "log").open("ab") as file:
        berth.trouble = "nobody will find it"
        async with passing(berth, Settings(), {}, file):
            pass
    assert "nobody will find it" in (tmp_path / "log").read_text()
