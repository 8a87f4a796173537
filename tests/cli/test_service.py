"""`openline service`: what it says and writes, and what it refuses before it writes anything."""

import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import msgspec
import pytest

from proxy.cli import main
from proxy.cli.service import _supervisor, service
from proxy.cli.services.launchd import Launchd
from proxy.cli.services.plan import RECORDED
from proxy.cli.services.systemd import Systemd
from tests.cli.process import ROOT, ran
from tests.cli.stand_in import StandIn
from tests.cli.test_units import read

SECRET = "marker-0123456789abcdef"
PAGE = (ROOT / "docs" / "service.md").read_text("utf-8")


class Home:
    """A user with a manager of services, that is only a stand-in, and a port that nobody else gets."""

    def __init__(self, folder: Path, port: int, says: Callable[..., tuple[int, str, str]]) -> None:
        self.port = port
        self.units = folder / "config" / "systemd" / "user"
        self.manager = StandIn(folder / "bin", "systemctl")
        self.environ = {
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PATH": self.manager.path,
            "OPENLINE_LISTEN": f"127.0.0.1:{port}",
        }
        self._says = says

    def says(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """What `openline service ARGUMENTS` says: exit status, stdout, stderr."""
        return self._says(("service", *arguments), {**self.environ, **environ})

    def refuses(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Exit status and the one line on stderr; nothing has been written."""
        status, out, err = self.says(*arguments, **environ)
        assert (out, err.count("\n")) == ("", 1)
        assert not self.units.exists()
        return status, err.removesuffix("\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Home]:
    """The command line runs in this process; the port is bound and not listened on: only who names it gets it."""
    for name in [name for name in os.environ if name.startswith("OPENLINE_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def says(arguments: tuple[str, ...], environ: dict[str, str]) -> tuple[int, str, str]:
        with monkeypatch.context() as now:
            for name, value in environ.items():
                now.setenv(name, value)
            now.setattr(sys, "argv", ["openline", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        return int(ended.value.code or 0), *capsys.readouterr()

    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield Home(tmp_path, reserved.getsockname()[1], says)


async def test_the_command_is_there(tmp_path: Path) -> None:
    """In a process of its own: a dry run needs nothing, and says what to paste, and on stderr what is missing."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "PATH": str(tmp_path)}
    status, out, err = await ran("service", "install", "--dry-run", environ=environ)
    assert status == 0
    assert err.startswith("openline: an install would be refused now: there is no systemctl on this machine")
    assert err.count("\n") == 1
    assert out.endswith("export OPENAI_BASE_URL=http://127.0.0.1:6736/v1\n")


def test_an_install_says_what_it_did_and_what_to_paste(home: Home) -> None:
    """Each file with its purpose, what was recorded, where its lines go, and last the line for the agents' shell."""
    status, out, err = home.says("install", "--mode", "off", HTTPS_PROXY=f"http://u:{SECRET}@127.0.0.1:9")
    assert (status, err) == (0, "")
    socket_file, service_file, settings, recorded, logs, export = out.splitlines()
    where = f"127.0.0.1:{home.port}"
    assert socket_file == (
        f"wrote {home.units / 'openline.socket'} (holds {where}, also while Openline is started anew)"
    )
    assert service_file == f"wrote {home.units / 'openline.service'} (runs Openline, from the first call on)"
    assert settings == "settings: no file"
    assert recorded.startswith("recorded of this shell: HTTPS_PROXY, OPENLINE_LISTEN, ")
    assert logs == "its lines: journalctl --user -u openline"
    assert export == f"export OPENAI_BASE_URL=http://{where}/v1"
    assert SECRET not in out
    written = read((home.units / "openline.service").read_text())["Service"]
    assert written["ExecStart"] == [f"{sys.executable} -P -m proxy run --mode off"]
    assert f"HTTPS_PROXY=http://u:{SECRET}@127.0.0.1:9" in [value.strip('"') for value in written["Environment"]]
    assert read((home.units / "openline.socket").read_text())["Socket"]["ListenStream"] == [where]
    assert "--user enable --now openline.socket" in home.manager.asked()


def test_a_program_is_told_the_same(home: Home) -> None:
    """`--json` has what the lines have."""
    token = Path(home.environ["HOME"]) / "token"
    token.write_text(SECRET)
    token.chmod(0o600)
    settings = token.with_name("my.toml")
    settings.write_text(f'token_file = "{token}"')
    status, out, err = home.says("install", "--json", "--config", str(settings))
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert [file["path"] for file in told["files"]] == [
        str(home.units / f"openline.{kind}") for kind in ("socket", "service")
    ]
    assert all(file["purpose"] and file["text"] is None for file in told["files"])
    assert (home.units / "openline.service").exists()
    assert told["written"] is True
    assert told["settings_file"] == str(settings)
    assert {"OPENLINE_LISTEN", "XDG_STATE_HOME"} <= set(told["recorded"])
    assert told["logs"] == "journalctl --user -u openline"
    export = f'export OPENAI_BASE_URL=http://127.0.0.1:{home.port}/t/"$(head -n 1 {token})"/v1'
    assert told["export"] == export
    assert SECRET not in out + (home.units / "openline.service").read_text()


def test_a_dry_run_shows_the_files_and_writes_none(home: Home) -> None:
    """The texts are those that would be written, but for the proxy's password; without a manager, too, as is said."""
    proxy = {"HTTPS_PROXY": f"http://u:{SECRET}@127.0.0.1:9"}
    status, out, err = home.says("install", "--dry-run", **proxy)
    assert (status, err) == (0, "")
    assert f"# would write {home.units / 'openline.socket'} (holds " in out
    assert f"\nListenStream=127.0.0.1:{home.port}\n" in out
    assert 'Environment="HTTPS_PROXY=http://…@127.0.0.1:9"' in out
    _, as_json, _ = home.says("install", "--dry-run", "--json", **proxy)
    told = json.loads(as_json)
    assert told["written"] is False
    assert all(file["text"] in out for file in told["files"])
    assert SECRET not in out + as_json
    assert as_json.count("\n") == 1
    assert not home.units.exists()
    assert {line.split()[1] for line in home.manager.asked()} == {"show"}
    home.manager.answer("show", "echo 'No medium found' >&2; exit 1")
    _, again, err = home.says("install", "--dry-run", **proxy)
    assert again == out
    assert err.startswith("openline: an install would be refused now: systemd runs no services for this user now")


def test_settings_that_cannot_be_used_are_refused_first(home: Home) -> None:
    """As `run` refuses them: status 2, one line, nothing written and nobody asked."""
    for environ, line in (
        ({"OPENLINE_MODE": "of"}, "openline: mode: expected "),
        ({"OPENLINE_LISTEN": "127.0.0.1:0"}, "openline: listen: port 0 is another port at each start"),
        ({"OPENLINE_TOKEN": SECRET}, "openline: OPENLINE_TOKEN: a token is not written into a service's files"),
    ):
        status, said = home.refuses("install", **environ)
        assert status == 2
        assert said.startswith(line)
        assert SECRET not in said
    assert home.manager.asked() == []


def test_without_a_manager_nothing_is_written(home: Home) -> None:
    """A half installed service would be a riddle; the line says what to do instead."""
    home.manager.answer("show", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    status, said = home.refuses("install")
    assert status == 1
    assert said.startswith(
        "openline: nothing was written: systemd runs no services for this user now (Failed to connect to bus: No medium"
        " found): log in as the user"
    )


def test_an_address_that_is_taken_is_refused_by_name(home: Home) -> None:
    """Where another program listens, systemd could not; where our own socket does, it is installed anew."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = {"OPENLINE_LISTEN": f"127.0.0.1:{other.getsockname()[1]}"}
        status, said = home.refuses("install", **listen)
        assert status == 1
        assert said.startswith(
            f"openline: listen: port {other.getsockname()[1]} on 127.0.0.1 is taken: another program"
        )
        assert said.endswith("end that first, or choose another port")
        assert home.says("install")[0] == 0
        home.manager.answer("is-active", "echo active; echo active")
        assert home.says("install", **listen)[0] == 0


def test_an_interpreter_that_finds_openline_only_here_is_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the shell's folder or variables add to Python is not there in a service."""
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    line = f"openline: {bare} does not find Openline by itself: install it there (pip install)"
    assert home.refuses("install") == (1, line)


def test_what_systemd_refuses_in_the_end_is_one_line(home: Home) -> None:
    """The files are there then: `uninstall` removes them."""
    home.manager.answer("enable", "echo 'Job for openline.socket failed.' >&2; exit 1")
    status, out, err = home.says("install")
    assert (status, out) == (1, "")
    assert err == "openline: `systemctl --user enable --now openline.socket` failed: Job for openline.socket failed.\n"
    assert (home.units / "openline.service").exists()


def test_an_uninstall_says_what_it_removed(home: Home) -> None:
    """The files by name; with nothing there, nothing is done; where nobody could stop it, that is said."""
    assert home.says("uninstall") == (0, "openline: no service is installed, and nothing was removed\n", "")
    assert home.manager.asked() == []
    removed = "".join(f"removed {home.units / name}\n" for name in ("openline.socket", "openline.service"))
    home.says("install")
    assert home.says("uninstall") == (0, removed, "")
    assert list(home.units.iterdir()) == []
    home.says("install")
    home.manager.answer("show", "echo 'No medium found' >&2; exit 1")
    status, out, err = home.says("uninstall")
    assert (status, out) == (0, removed)
    assert err.startswith("openline: it could not be stopped, if it runs: systemd runs no services for this user now")


def test_what_was_done_is_told_to_programs(home: Home) -> None:
    """With --json each command says in one object what it did."""
    home.says("install")
    told = [msgspec.json.decode(home.says(verb, "--json")[1]) for verb in ("start", "stop", "uninstall", "uninstall")]
    removed = [str(home.units / name) for name in ("openline.socket", "openline.service")]
    assert told == [{"started": True}, {"stopped": True}, {"removed": removed}, {"removed": []}]


def test_start_and_stop_want_a_service(home: Home) -> None:
    """Without one they say how to get it, and exit with 4; with one they do it, and say it."""
    for verb in ("start", "stop"):
        line = "openline: no service is installed: `openline service install` installs one"
        assert home.refuses(verb) == (4, line)
    home.says("install")
    home.manager.asked()
    assert (home.says("start"))[:2] == (
        0,
        "openline: the service is started; `openline service status` says how it is\n",
    )
    assert (home.says("stop"))[1].startswith("openline: the service is stopped until the next login")
    verbs = [line.split()[1] for line in home.manager.asked()]
    assert verbs == ["reset-failed", "start", "stop"]


def test_status_says_whether_and_how(home: Home) -> None:
    """Exit status 4 without a service, 3 while nobody listens, else 0; in words and as JSON."""
    none = "openline: no service is installed; `openline service install` installs one\n"
    assert home.says("status") == (4, none, "")
    home.says("install")
    home.manager.answer("is-active", "echo active; echo inactive; exit 3")
    files = [str(home.units / name) for name in ("openline.socket", "openline.service")]
    said = ["openline.socket: active", "openline.service: inactive", "its lines: journalctl --user -u openline"]
    status, out, err = home.says("status")
    assert (status, out.splitlines(), err) == (0, [f"installed: {', '.join(files)}", *said], "")
    home.manager.answer("is-active", "echo failed; echo failed; exit 3")
    status, out, _ = home.says("status", "--json")
    assert status == 3
    assert json.loads(out) == {
        "installed": True,
        "files": files,
        "states": {"openline.socket": "failed", "openline.service": "failed"},
        "logs": "journalctl --user -u openline",
    }


def test_each_system_has_its_supervisor() -> None:
    """It is systemd on Linux, launchd on macOS; elsewhere the line says where it works."""
    assert isinstance(_supervisor("linux"), Systemd)
    assert isinstance(_supervisor("darwin"), Launchd)
    with pytest.raises(
        click.ClickException, match=r"^there are services for systemd and launchd, and none for win32: use"
    ):
        _supervisor("win32")


def test_the_page_has_the_commands_that_there_are() -> None:
    """docs/service.md shows each verb, and no other; its flags exist."""
    shown = set(re.findall(r"^openline service (\w+)", PAGE, re.MULTILINE))
    assert shown == set(service.commands)
    install = {option for param in service.commands["install"].params for option in param.opts}
    assert set(re.findall(r"`(--[a-z-]+)`", PAGE)) <= install


def test_the_page_names_what_is_recorded_and_what_is_not() -> None:
    """Each variable by its name, lower case ones in words."""
    (said,) = re.findall(r"your shell has: (.*?)\. Not `OPENAI_API_KEY`", PAGE, re.DOTALL)
    named = re.findall(r"`([A-Z_]+)`", said)
    assert named == [name for name in RECORDED if name.isupper()]
    assert {name for name in RECORDED if name.islower()} == {name.lower() for name in named if name.endswith("PROXY")}
    assert "Not\n`OPENLINE_TOKEN`" in PAGE


def test_the_page_names_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each is, on both systems."""
    monkeypatch.setenv("HOME", str(tmp_path))
    launchd = Launchd()
    paths = [*Systemd({}).paths, *launchd.paths, Path(launchd.logs)]
    assert re.findall(r"^\| `(~/[^`]+)`", PAGE, re.MULTILINE) == [f"~/{path.relative_to(tmp_path)}" for path in paths]


def test_the_page_says_which_units_there_are_and_how_status_ends() -> None:
    """The names by which systemd's own commands are used, and the exit statuses."""
    assert {"openline", "openline.service"} == set(re.findall(r"systemctl --user (?:reload|edit) ([\w.]+)", PAGE))
    assert f"`{Systemd().logs}`" in PAGE
    assert (
        "exits with 0 when\n  somebody listens, 3 when not, 4 when nothing is installed; `start` and `stop` exit"
        " with 4 then" in PAGE
    )
