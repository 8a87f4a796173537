"""The state file: what of stored responses outlives the process, and what is done with a file that cannot be read."""

import os
import stat
import time
from pathlib import Path

import msgpack
import pytest

from proxy import state
from proxy.config import Heads as HeadSettings
from proxy.config import Settings
from proxy.core.heads import StoredHead, StoredItem
from proxy.state import State, StateFile, state_file

STATE = State(
    b"k" * 32,
    [StoredHead("resp_1", b"p" * 16, (b"f" * 16, b"g" * 16), 120, 30, 7.0)],
    [StoredItem(b"p" * 16, "rs_1", b"m" * 16, 8.0)],
)


EMPTY = {"version": 2, "key": b"k" * 32, "saved_at": 1_000.0, "heads": [], "items": []}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock's time, which stands still until a test changes it."""
    now = [1_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    """A new process finds the key, the heads and the items of the one before."""
    file = StateFile(tmp_path / "deep" / "heads.msgpack")
    file.save(STATE)
    assert file.load() == STATE


@pytest.mark.parametrize(("passed", "older"), [(60.0, 60.0), (-60.0, 0.0)], ids=["on", "back"])
def test_age_goes_on_while_no_process_runs(tmp_path: Path, now: list[float], passed: float, older: float) -> None:
    """By the wall clock; where that was set back nothing gets younger."""
    file = StateFile(tmp_path / "heads.msgpack")
    file.save(STATE)
    now[0] += passed
    loaded = file.load()
    assert [head.age for head in loaded.heads] == [7.0 + older]
    assert [item.age for item in loaded.items] == [8.0 + older]


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """File and folders are for the owner, and it is replaced as a whole: no draft stays behind."""
    file = StateFile(tmp_path / "a" / "b" / "heads.msgpack")
    file.save(State())
    file.save(STATE)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["heads.msgpack"]
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not msgpack",
        msgpack.packb({"version": 2}),
        msgpack.packb({"version": 1, "key": b"k" * 32, "heads": [], "items": []}),
        msgpack.packb({**EMPTY, "version": 1}),
        msgpack.packb({**EMPTY, "key": b"short"}),
        msgpack.packb({**EMPTY, "heads": [["f"]]}),
        msgpack.packb({**EMPTY, "heads": [["r", b"p", [b"\xff"], 1, 1, "old"]]}),
        msgpack.packb({**EMPTY, "heads": [[b"\xff", b"p", [b"f"], 1, 1, 1.0]]}),
        b"\x81\xa3zzz" + b"\x91" * 200_000 + b"\xc0",  # very deep, where nothing is looked for
    ],
)
def test_a_damaged_or_foreign_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    """Whatever is wrong with the file, the start goes on with a new key and no heads."""
    file = StateFile(tmp_path / "heads.msgpack")
    file.path.write_bytes(content)
    loaded = file.load()
    assert loaded.heads == ()
    assert loaded.key != STATE.key


@pytest.mark.parametrize("how", ["pipe", "link", "folder", "too long"])
def test_what_is_no_file_of_the_users_own_counts_as_none(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe would be waited for, a link may lead to another user's, and a start reads no file of any length."""
    file, elsewhere = StateFile(tmp_path / "heads.msgpack"), StateFile(tmp_path / "elsewhere")
    elsewhere.save(STATE)
    if how == "pipe":
        os.mkfifo(file.path)
    elif how == "link":
        file.path.symlink_to(elsewhere.path)
    elif how == "folder":
        file.path.mkdir()
    else:
        file.save(STATE)
        assert file.load() == STATE
        monkeypatch.setattr(state, "_MOST_BYTES", 10)
    assert (file.load().heads, file.load().items) == ((), ())


def test_another_users_file_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads in it would be continued, whoever put them there."""
    file = StateFile(tmp_path / "heads.msgpack")
    file.save(STATE)
    monkeypatch.setattr(os, "geteuid", lambda: file.path.stat().st_uid + 1)
    assert file.load().heads == ()


def test_a_missing_file_means_a_new_key_each_time(tmp_path: Path) -> None:
    """Without a file nothing of an earlier process can match by chance."""
    file = StateFile(tmp_path / "heads.msgpack")
    assert file.load().key != file.load().key


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The caller of save is told, so that it can be said once and lived with."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        StateFile(tmp_path / "file" / "heads.msgpack").save(STATE)


def test_two_proxies_never_share_a_file() -> None:
    """The name is made of the address, of which only one process can listen on at a time."""
    paths = {
        file.path.name
        for listen in ("127.0.0.1:6736", "127.0.0.1:6737", "[::1]:6736")
        if (file := state_file(Settings(listen=listen)))
    }
    assert len(paths) == 3


def test_no_file_without_a_lasting_port_or_by_setting() -> None:
    """A free port is another one next time; and the setting switches the file off."""
    assert state_file(Settings(listen="127.0.0.1:0")) is None
    assert state_file(Settings(heads=HeadSettings(survive_restarts=False))) is None


def test_the_key_is_never_shown() -> None:
    """A repr of the state, in a traceback say, does not give the fingerprints' key away."""
    assert "kkkk" not in repr(STATE)
