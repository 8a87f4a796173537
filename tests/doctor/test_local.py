"""This machine: ports that are free or taken, by whom, and enough open files."""

import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config import Limits, Settings
from proxy.doctor.local import Occupant, Place, admin, files, port
from proxy.server.descriptors import affordable
from proxy.token import Token

STRANGER = Occupant(is_openline=False, clause="another program is listening there")


@dataclass
class Asked:
    """Who is said to be there, and where that was asked."""

    occupant: Occupant = STRANGER
    callers: Occupant | None = None
    """At the callers' place, if that is another."""
    places: list[Place] = field(default_factory=list)

    async def __call__(self, place: Place) -> Occupant:
        """As the command line finds out."""
        self.places.append(place)
        return self.callers if self.callers and len(self.places) > 1 else self.occupant


OPENLINE = Occupant(is_openline=True, clause="openline is already running (pid 1, version 2) at http://127.0.0.1:3/v1")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on, with the one below free."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number: int = listening.getsockname()[1]
        yield number


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number: int = listening.getsockname()[1]
        return number


async def test_a_free_port() -> None:
    """It is free, and it still is after the look."""
    number, ask = free_port(), Asked()
    for _ in range(2):
        found = await port(Settings(listen=f"127.0.0.1:{number}"), ask)
        assert (found.state, found.text) == ("ok", f"127.0.0.1:{number} is free")
    assert (await port(Settings(listen="[::1]:0"), ask)).text == "any free port on ::1"
    assert ask.places == []


async def test_a_port_of_another_program(taken: int) -> None:
    """A failure that says who has it and what to do."""
    ask = Asked()
    found = await port(Settings(listen=f"127.0.0.1:{taken}"), ask)
    assert (found.name, found.state) == ("port", "failed")
    assert found.text == f"127.0.0.1:{taken} is taken: another program is listening there"
    assert "--port" in found.advice
    assert ask.places == [("127.0.0.1", taken)]


async def test_a_port_of_an_openline(taken: int) -> None:
    """One that runs already is as it should be: the line says which."""
    found = await port(Settings(listen=f"127.0.0.1:{taken}"), Asked(OPENLINE))
    assert (found.state, found.text) == ("ok", f"127.0.0.1:{taken}: {OPENLINE.clause}")


async def test_an_address_of_another_machine() -> None:
    """What cannot be listened on at all is said in the system's words."""
    found = await port(Settings(listen="192.0.2.1:6736", token=Token("t" * 40)), Asked())
    assert found.state == "failed"
    assert found.text.startswith("192.0.2.1:6736 cannot be listened on: ")
    assert "choose another port" in found.advice


async def test_the_usual_admin_port(taken: int) -> None:
    """`auto` looks below the callers' port first: who is there is only noted, as it goes on looking."""
    above = Settings(listen=f"127.0.0.1:{taken + 1}")
    found = await admin(above, Asked())
    assert (found.state, f"127.0.0.1:{taken} is taken" in found.text) == ("note", True)
    assert "another port will be found" in found.text
    assert (await admin(above, Asked(OPENLINE))).state == "ok"
    assert (await admin(above, Asked(OPENLINE, callers=STRANGER))).state == "note"
    assert (await admin(Settings(listen="127.0.0.1:0"), Asked())).text == "any free port on 127.0.0.1"


async def test_an_admin_address_that_was_named(taken: int) -> None:
    """That is a must: a failure where it is taken, and no look at all where there is to be none."""
    found = await admin(Settings(admin_listen=f"127.0.0.1:{taken}"), Asked())
    assert (found.name, found.state, "admin_listen" in found.advice) == ("admin", "failed", True)
    another = Occupant(is_openline=True, clause="openline is already running (pid 2, version 2)")
    theirs = await admin(Settings(admin_listen=f"127.0.0.1:{taken}"), Asked(another, callers=OPENLINE))
    assert theirs.state == "failed"
    ask = Asked()
    assert (await admin(Settings(admin_listen="off"), ask)).state == "ok"
    assert ask.places == []


async def test_a_socket_file(tmp_path: Path) -> None:
    """A free place stays as it was; a living socket, and a file that is none, are failures."""
    path = tmp_path / "s"
    settings = Settings(admin_listen=f"unix:{path}")
    assert (await admin(settings, Asked())).text == f"{path} is free"
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - Path is not for what runs in a loop
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        ask = Asked()
        assert (await admin(settings, ask)).state == "failed"
        assert ask.places == [path]
        assert path.exists()
    path.unlink()
    path.write_text("")
    assert "a file that is no socket is there" in (await admin(settings, Asked())).text


def test_open_files() -> None:
    """As many as the settings ask for, or a failure that says how many would do."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert files(Settings()).state == "ok"
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        wanted = soft  # two for each are more than there are
        found = files(Settings(limits=Limits(connections=wanted)))
        assert (found.state, str(wanted) in found.text) == ("failed", True)
        assert "ulimit -Hn" in found.advice
        enough = int(found.advice.partition(" to ")[2].partition(",")[0])
        assert (enough - 32) // 2 >= wanted > affordable(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
