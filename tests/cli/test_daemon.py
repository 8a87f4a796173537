"""A daemon: what names its files, when it has ended, and what its log comes to."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from proxy.cli import cli, serving
from proxy.cli.background import daemon, succession
from proxy.cli.background.daemon import Place, Watch, command, environment, opened, renew
from proxy.cli.flags import Flags
from proxy.instance import Instance
from proxy.lock import Lock
from proxy.server import listener
from tests.cli.daemons import runs
from tests.cli.process import ROOT


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def instance(pid: int, port: int = 6736) -> Instance:
    """One that tells nothing of itself."""
    base = f"http://127.0.0.1:{port}/v1"
    return Instance(pid=pid, version="1", api=base, admin=None, control="", started_at=time.time())


def sleeper(lock: Lock) -> "subprocess.Popen[bytes]":
    """A process that inherits the lock and does nothing."""
    words = (sys.executable, "-c", "input()")
    return subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[lock.descriptor])  # noqa: S603 - Python itself


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", "127.0.0.1-1"),
        ("0.0.0.0", "127.0.0.1-1"),  # noqa: S104 - nobody listens
        ("::1", "__1-1"),
    ],
)
def test_a_place_is_called_as_it_is_reached_from_here(host: str, name: str) -> None:
    """What is listened on and the base URL of who listens there give one name, for the lock and for the log."""
    place = Place.listening(host, 1)
    assert (place.name, place.lock.name, place.log.name) == (name, f"{name}.lock", f"{name}.log")
    assert Place.of(f"http://{f'[{place.host}]' if ':' in place.host else place.host}:1/v1") == place


def test_a_watch_sees_the_end() -> None:
    """By the lock, also of a process that nobody has asked how it ended; who never had the lock has ended."""
    lock = Lock.take(Place("127.0.0.1", 6736).lock)
    with sleeper(lock) as heir:
        os.pwrite(lock.descriptor, str(heir.pid).encode(), 0)
        lock.leave()
        watch, other = Watch(instance(heir.pid)), Watch(instance(heir.pid, port=6737))
        assert (watch.over, other.over) == (False, True)
        heir.kill()
        while runs(heir.pid):
            time.sleep(0.01)
        assert watch.over
        watch.close()
        heir.wait()


def test_a_log_is_the_owners_and_goes_on(tmp_path: Path) -> None:
    """It is appended to, and nobody else reads it; a large one is put aside, in place of the one before."""
    log = tmp_path / "some" / "log"
    for text in (b"one ", b"two"):
        descriptor = opened(log)
        os.write(descriptor, text)
        os.close(descriptor)
    assert log.read_bytes() == b"one two"
    assert log.stat().st_mode & 0o777 == 0o600
    aside = log.with_name("log.1")
    aside.write_text("old")
    os.truncate(log, 10_000_001)
    os.close(opened(log))
    assert (log.stat().st_size, aside.stat().st_size) == (0, 10_000_001)


def test_a_log_is_put_aside_while_it_is_written(tmp_path: Path) -> None:
    """Once it is large, all that lead there lead to a new one; of two processes the second follows the first."""
    log = tmp_path / "log"
    first, second, other = opened(log), opened(log), os.open(tmp_path / "other", os.O_CREAT | os.O_WRONLY)
    renew(log, (first, other))
    assert os.path.samestat(os.fstat(first), log.stat())
    os.truncate(log, 10_000_001)
    renew(log, (first, other))
    assert (log.stat().st_size, log.with_name("log.1").stat().st_size) == (0, 10_000_001)
    renew(log, (second,))
    for descriptor in (first, second, other):
        os.write(descriptor, b"line\n")
        os.close(descriptor)
    assert (log.read_bytes(), (tmp_path / "other").read_bytes()) == (b"line\nline\n", b"line\n")


def test_the_command_says_the_flags_again(tmp_path: Path) -> None:
    """Each is written as it is on a command line, and where the log is; a URL goes where no other user can read it."""
    given = {"listen": "127.0.0.1:1", "upstream.url": "http://a/v1", "upstream.lanes": "off", "verbose": True}
    said = Flags(given, Path("my.toml"))
    assert environment(said) == {"OPENLINE_UPSTREAM__URL": "http://a/v1"}
    assert environment(Flags({}, None)) == {}
    words = command(said, tmp_path / "log")
    assert words[:5] == (sys.executable, "-P", "-m", "proxy", "run")
    assert " ".join(words[5:]) == (
        f"--listen 127.0.0.1:1 --lanes off --verbose --config my.toml --log-file {tmp_path / 'log'}"
    )


def test_the_page_names_what_there_is() -> None:
    """The commands of docs/daemon.md exist with the options that it gives them, and each says what it may end with."""
    page = (ROOT / "docs" / "daemon.md").read_text("utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        name, *words = line.removeprefix("openline ").split()
        found = cli.get_command(click.Context(cli), name)
        assert found
        found.make_context(name, words)
        assert f"\n| `{name}` |" in page
        options = {option for one in found.params for option in one.opts}
        assert options >= ({"--json", "--port"})
    named = {word.removeprefix("openline ").split()[0] for word in re.findall(r"`(openline [a-z]+[^`]*)`", page)}
    assert named <= set(cli.list_commands(click.Context(cli)))


def test_the_page_says_how_long_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures and its folders are those of the code, on both systems."""
    page = (ROOT / "docs" / "daemon.md").read_text("utf-8")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert f"does not come to serve within {succession.SERVE_SECONDS:g} s" in page
    assert f"after {listener._SPARE_SECONDS:g} s without a call" in page
    assert (serving._LEAVE_SECONDS, "for up to an hour" in page) == (3_600, True)
    assert f"over {daemon._LARGE / 1_000_000:g} MB it becomes `.log.1`" in page
    for folder in (
        Unix("openline").user_state_path,
        MacOS("openline").user_state_path,
        MacOS("openline").user_log_path,
    ):
        assert f"`~/{folder.relative_to(Path.home())}`" in page
    assert Unix("openline").user_log_path == Unix("openline").user_state_path / "log"
