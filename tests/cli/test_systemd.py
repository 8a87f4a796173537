"""systemd: what its manager is asked for, in which order, and what is left of it; a stand-in answers for it."""

import os
import stat
from pathlib import Path

import pytest

from proxy.cli.services.plan import Plan
from proxy.cli.services.supervisor import CommandFailed, Unavailable
from proxy.cli.services.systemd import Systemd
from tests.cli.stand_in import StandIn

PLAN = Plan(("/opt/venv/bin/python", "-P"), (("127.0.0.1", 6736),), {"HTTPS_PROXY": "http://u:secret@h"}, 18)
NO_BUS = "echo 'Failed to connect to bus: No medium found' >&2; exit 1"
BOTH = "openline.socket openline.service"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The manager of this user, which does all that it is asked for."""
    stand_in = StandIn(tmp_path / "bin", "systemctl")
    monkeypatch.setenv("PATH", stand_in.path)
    return stand_in


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    """The supervisor, with its files in the test's own folder."""
    return Systemd({"XDG_CONFIG_HOME": str(tmp_path / "config")})


def enabled(systemd: Systemd) -> Path:
    """The link by which systemd starts the socket at login, made as it would be."""
    link = systemd.paths[0].parent / "sockets.target.wants" / "openline.socket"
    link.parent.mkdir()
    link.symlink_to(systemd.paths[0])
    return link


def test_the_units_are_where_systemd_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the configuration folder of the environment, else in the usual one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for environ, folder in (({}, tmp_path / ".config"), ({"XDG_CONFIG_HOME": "/c"}, Path("/c"))):
        names = ("openline.socket", "openline.service")
        assert Systemd(environ).paths == tuple(folder / "systemd" / "user" / name for name in names)


def test_an_install_writes_the_units_and_listens(manager: StandIn, systemd: Systemd) -> None:
    """The files are for their owner alone; the socket is there now and at each login, the process from a call on."""
    before = os.umask(0)
    try:
        systemd.install(systemd.files(PLAN))
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in systemd.paths] == [0o600, 0o600]
    assert [path.read_text() for path in systemd.paths] == [file.text for file in systemd.files(PLAN)]
    assert "u:secret@h" in systemd.paths[1].read_text()
    assert sorted(path.name for path in systemd.paths[0].parent.iterdir()) == ["openline.service", "openline.socket"]
    assert manager.asked() == [
        "--user daemon-reload",
        "--user enable --now openline.socket",
        "--user try-restart openline.service",
    ]


def test_installed_anew_it_keeps_its_place(manager: StandIn, systemd: Systemd) -> None:
    """After an upgrade, or with another environment, the socket stays: nobody is refused meanwhile."""
    systemd.install(systemd.files(PLAN))
    manager.asked()
    systemd.install(systemd.files(Plan(("/new/python",), PLAN.addresses, {}, 18)))
    assert "ExecStart=/new/python" in systemd.paths[1].read_text()
    assert not any(line.startswith("--user stop") for line in manager.asked())


def test_another_address_is_another_socket(manager: StandIn, systemd: Systemd) -> None:
    """The old one is stopped first: systemd does not start one anew that its service uses."""
    systemd.install(systemd.files(PLAN))
    manager.asked()
    systemd.install(systemd.files(Plan(PLAN.command, (("127.0.0.1", 7000),), {}, 18)))
    asked = manager.asked()
    assert asked.index("--user daemon-reload") < asked.index(f"--user stop {BOTH}")
    assert asked.index(f"--user stop {BOTH}") < asked.index("--user enable --now openline.socket")


def test_what_systemd_refuses_is_told(manager: StandIn, systemd: Systemd) -> None:
    """Its last line says why; the command that was refused is named."""
    manager.answer("enable", "echo 'Job failed.' >&2; echo 'See the log.' >&2; exit 1")
    with pytest.raises(
        CommandFailed, match=r"^`systemctl --user enable --now openline\.socket` failed: See the log\.$"
    ):
        systemd.install(systemd.files(PLAN))


def test_an_uninstall_leaves_nothing(manager: StandIn, systemd: Systemd) -> None:
    """It is stopped and disabled before its units go."""
    systemd.install(systemd.files(PLAN))
    manager.asked()
    systemd.uninstall()
    assert not any(path.exists() for path in systemd.paths)
    assert manager.asked() == [
        "--user show --property=Version",
        "--user disable --now openline.socket",
        "--user stop openline.service",
        "--user daemon-reload",
    ]


def test_without_a_manager_the_units_can_still_be_removed(manager: StandIn, systemd: Systemd) -> None:
    """The link that would start the socket at the next login goes too; that nothing was stopped is said."""
    systemd.install(systemd.files(PLAN))
    link = enabled(systemd)
    manager.answer("show", NO_BUS)
    with pytest.raises(Unavailable, match=r"\(Failed to connect to bus: No medium found\): log in as the user"):
        systemd.uninstall()
    assert not any(path.exists() for path in systemd.paths)
    assert not link.is_symlink()


def test_without_systemd_there_is_another_way(
    systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without the program is told so, and what runs there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"^there is no systemctl on this machine: without systemd, `openline start`"):
        systemd.check()


def test_a_manager_that_answers_will_do(manager: StandIn, systemd: Systemd) -> None:
    """It is asked for its version, which it always has."""
    systemd.check()
    assert manager.asked() == ["--user show --property=Version"]


def test_start_also_helps_after_failures(manager: StandIn, systemd: Systemd) -> None:
    """What systemd remembers of them is forgotten first, if there is any."""
    manager.answer("reset-failed", "echo 'Unit openline.service not loaded.' >&2; exit 1")
    systemd.start()
    assert manager.asked() == [f"--user reset-failed {BOTH}", f"--user start {BOTH}"]


def test_stop_stops_both(manager: StandIn, systemd: Systemd) -> None:
    """A socket that stayed would start the service again at the next call."""
    systemd.stop()
    assert manager.asked() == [f"--user stop {BOTH}"]


@pytest.mark.parametrize(
    ("script", "states", "listening"),
    [
        ("echo active; echo inactive; exit 3", ["active", "inactive"], True),
        ("echo failed; echo failed; exit 3", ["failed", "failed"], False),
        (NO_BUS, ["unknown (Failed to connect to bus: No medium found)"] * 2, False),
    ],
)
def test_the_states_are_systemd_s_words(
    script: str, states: list[str], *, listening: bool, manager: StandIn, systemd: Systemd
) -> None:
    """Socket first: while it is active, callers are not refused."""
    manager.answer("is-active", script)
    assert systemd.states() == dict(zip(("openline.socket", "openline.service"), states, strict=True))
    assert systemd.listening is listening
