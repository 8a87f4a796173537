"""launchd: what it is asked for, in which order, and what is left of it; a stand-in answers, as there is no Mac."""

import os
import plistlib
import stat
from pathlib import Path

import pytest

from proxy.cli.services.launchd import Launchd
from proxy.cli.services.plan import Plan
from proxy.cli.services.supervisor import CommandFailed, Unavailable
from tests.cli.stand_in import StandIn

PLAN = Plan(("/opt/venv/bin/python", "-P"), (("127.0.0.1", 6736),), {"HTTPS_PROXY": "http://u:secret@h"}, 18)
GUI = f"gui/{os.getuid()}"
JOB = f"{GUI}/dev.openline"


class Mac:
    """A stand-in for launchctl that knows whether the job is loaded."""

    def __init__(self, folder: Path) -> None:
        self._loaded = folder / "loaded"
        self._program = StandIn(folder / "bin", "launchctl")
        self.path = self._program.path
        self.answer = self._program.answer
        flag = f"'{self._loaded}'"
        self.answer("bootstrap", f"touch {flag}")
        self.answer("bootout", f"rm {flag}")
        self.answer(
            "print", f"[ $2 = {GUI} ] || [ -e {flag} ] || exit 113; printf 'x = {{\\n\\tstate = running\\n}}\\n'"
        )

    @property
    def loaded(self) -> bool:
        """Whether the job is loaded now."""
        return self._loaded.exists()

    def asked(self) -> list[str]:
        """What it was asked to do since the last time; what it was only asked about is left out."""
        return [line for line in self._program.asked() if not line.startswith("print ")]


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    """A Mac at which the user is logged in."""
    mac = Mac(tmp_path)
    monkeypatch.setenv("PATH", mac.path)
    return mac


@pytest.fixture
def launchd(tmp_path: Path) -> Launchd:
    """The supervisor, with its files in the test's own folder."""
    return Launchd(tmp_path / "home")


def test_an_install_writes_the_agent_and_loads_it(mac: Mac, launchd: Launchd, tmp_path: Path) -> None:
    """The property list is for its owner alone, and the folder of its log is there."""
    launchd.install(launchd.files(PLAN))
    (path,) = launchd.paths
    assert path == tmp_path / "home" / "Library" / "LaunchAgents" / "dev.openline.plist"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = plistlib.loads(path.read_bytes())
    assert read["EnvironmentVariables"]["HTTPS_PROXY"] == "http://u:secret@h"
    assert read["StandardOutPath"] == launchd.logs == str(tmp_path / "home" / "Library" / "Logs" / "openline.log")
    assert Path(launchd.logs).parent.is_dir()
    assert mac.asked() == [f"enable {JOB}", f"bootstrap {GUI} {path}"]
    assert mac.loaded


def test_installed_anew_it_keeps_its_place(mac: Mac, launchd: Launchd) -> None:
    """With the same text only the process goes, and the next call starts the new one: launchd holds the address."""
    launchd.install(launchd.files(PLAN))
    mac.asked()
    mac.answer("kill", "echo 'No process to signal.' >&2; exit 3")
    launchd.install(launchd.files(PLAN))
    assert mac.asked() == [f"kill SIGTERM {JOB}"]


def test_what_has_changed_is_loaded_anew(mac: Mac, launchd: Launchd) -> None:
    """The job goes first: launchd refuses a second one of its name."""
    launchd.install(launchd.files(PLAN))
    mac.asked()
    launchd.install(launchd.files(Plan(PLAN.command, (("127.0.0.1", 7000),), {}, 18)))
    assert mac.asked() == [f"bootout {JOB}", f"enable {JOB}", f"bootstrap {GUI} {launchd.paths[0]}"]
    assert b"7000" in launchd.paths[0].read_bytes()


def test_a_job_that_takes_its_time_is_waited_for(mac: Mac, launchd: Launchd, tmp_path: Path) -> None:
    """`bootout` is back while the job still drains; the new one is loaded when it has gone."""
    launchd.install(launchd.files(PLAN))
    left = tmp_path / "left"
    left.write_text("xx")
    mac.answer("bootout", "true")
    mac.answer("print", f"case $(cat '{left}') in xx) printf x >'{left}' ;; x) : >'{left}' ;; *) exit 113 ;; esac")
    launchd.stop()
    assert left.read_text() == ""
    assert not launchd.listening


def test_what_launchd_refuses_is_told(mac: Mac, launchd: Launchd) -> None:
    """Its last line says why; the command that was refused is named."""
    mac.answer("bootstrap", "echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5")
    with pytest.raises(
        CommandFailed, match=r"^`launchctl bootstrap .*` failed: Bootstrap failed: 5: Input/output error$"
    ):
        launchd.install(launchd.files(PLAN))


def test_an_uninstall_leaves_nothing_but_the_log(mac: Mac, launchd: Launchd) -> None:
    """It is unloaded before its property list goes; one that is not loaded is only removed."""
    for loaded in (True, False):
        launchd.install(launchd.files(PLAN))
        if not loaded:
            launchd.stop()
        mac.asked()
        launchd.uninstall()
        assert mac.asked() == ([f"bootout {JOB}"] if loaded else [])
        assert not launchd.paths[0].exists()


def test_start_loads_what_stop_unloaded(mac: Mac, launchd: Launchd) -> None:
    """Stopped, it listens no more; started, it listens and runs; both may be said twice."""
    launchd.install(launchd.files(PLAN))
    mac.asked()
    launchd.stop()
    launchd.stop()
    assert mac.asked() == [f"bootout {JOB}"]
    launchd.start()
    launchd.start()
    assert mac.asked() == [f"bootstrap {GUI} {launchd.paths[0]}", f"kickstart {JOB}", f"kickstart {JOB}"]


def test_the_state_is_launchd_s_word(mac: Mac, launchd: Launchd) -> None:
    """What `launchctl print` says of a loaded job, else that it is not."""
    assert (launchd.states(), launchd.listening) == ({"dev.openline": "not loaded"}, False)
    launchd.install(launchd.files(PLAN))
    assert (launchd.states(), launchd.listening) == ({"dev.openline": "running"}, True)
    mac.answer("print", "echo 'no such line'")
    assert launchd.states() == {"dev.openline": "loaded"}


def test_without_a_login_at_the_screen_there_is_another_way(
    mac: Mac, launchd: Launchd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over ssh alone a user has no agents, and elsewhere there is no launchctl at all."""
    launchd.check()
    mac.answer("print", "echo 'Could not find domain for user' >&2; exit 113")
    with pytest.raises(
        Unavailable, match=r"now \(Could not find domain for user\): log in at the Mac's screen, or use"
    ):
        launchd.check()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"^there is no launchctl on this machine: `openline start`"):
        launchd.check()
