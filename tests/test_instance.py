"""Instance: the file by which the command line finds a running proxy, for its owner alone."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from proxy.instance import Instance, InstanceFile, instances
from proxy.lock import Held, Lock


def instance(port: int = 6736, *, pid: int | None = None, started_at: float = 1.5) -> Instance:
    """One of this process, or of another."""
    return Instance(
        pid=os.getpid() if pid is None else pid,
        version="1",
        api=f"http://127.0.0.1:{port}/v1",
        admin=f"http://127.0.0.1:{port - 1}",
        control="marker-secret",
        started_at=started_at,
    )


def test_what_is_written_is_found(tmp_path: Path) -> None:
    """All that run are found, by port; what was taken away is not."""
    files = [InstanceFile(instance(port), tmp_path / "running") for port in (7000, 6999)]
    for file in files:
        file.write()
    assert list(instances(tmp_path / "running")) == [instance(6999), instance(7000)]
    files[0].remove()
    assert [one.port for one in instances(tmp_path / "running")] == [6999]


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Folder and file are nobody else's to read, and the secret is in no `repr`."""
    InstanceFile(instance(), tmp_path / "a" / "running").write()
    for file in (tmp_path / "a" / "running").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (tmp_path / "a", tmp_path / "a" / "running"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "marker" not in repr(instance())


def left(folder: Path, one: Instance) -> Path:
    """The file of one that has crashed: its lock is nobody's."""
    file = InstanceFile(one, folder)
    file.write()
    assert file.lock
    file.lock.leave()
    return folder / f"{one.name}.json"


def test_what_a_crash_left_is_taken_away(tmp_path: Path) -> None:
    """Whoever has the number by now: without the lock it is not the one that left the file."""
    left(tmp_path, instance())
    assert list(instances(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_the_lock_must_be_signed_by_the_very_process(tmp_path: Path) -> None:
    """Another process that has the place by now is not the one of the file; that stays, as it may change soon."""
    path = left(tmp_path, instance(pid=os.getppid()))
    lock = Lock.take(path.with_suffix(".lock"))
    assert list(instances(tmp_path)) == []
    lock.sign()
    assert list(instances(tmp_path)) == []
    assert path.exists()
    lock.release()


def test_a_place_that_is_taken_is_nobody_elses(tmp_path: Path) -> None:
    """While one has it, a second one leaves no file."""
    first = InstanceFile(instance(), tmp_path)
    first.write()
    with pytest.raises(Held):
        InstanceFile(instance(started_at=2.5), tmp_path).write()
    assert list(instances(tmp_path)) == [instance()]


def test_a_successors_file_stays(tmp_path: Path) -> None:
    """Who ends takes away what is his, not what another put in its place."""
    before = InstanceFile(instance(), tmp_path)
    before.write()
    assert before.lock
    other = msgspec.structs.replace(instance(started_at=2.5), pid=os.getppid())
    path = tmp_path / f"{other.name}.json"
    path.write_bytes(msgspec.json.encode(other))
    os.pwrite(before.lock.descriptor, f"{other.pid:<20}".encode(), 0)
    before.remove()
    assert list(instances(tmp_path)) == [other]
    before.write()
    before.remove()
    before.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]", b" " * 70_000])
def test_what_cannot_be_read_is_no_instance(tmp_path: Path, content: bytes) -> None:
    """A damaged or foreign file is passed over, and left where it is."""
    (tmp_path / "x.json").write_bytes(content)
    assert list(instances(tmp_path)) == []
    assert (tmp_path / "x.json").exists()


def test_a_file_of_a_later_version_is_read(tmp_path: Path) -> None:
    """Fields that are not known do not hide an instance: the command line must be able to say what runs."""
    InstanceFile(instance(), tmp_path).write()
    fields = {**msgspec.to_builtins(instance()), "colour": "blue"}
    (tmp_path / f"{instance().name}.json").write_bytes(msgspec.json.encode(fields))
    assert list(instances(tmp_path)) == [instance()]


@pytest.mark.parametrize(
    "odd",
    [
        {"pid": 2**40},
        {"pid": 2**70},
        {"pid": 0},
        {"pid": -1},
        {"api": "http://127.0.0.1:99999/v1"},
        {"api": "http://127.0.0.1:0/v1"},
        {"api": ""},
        {"admin": "http://127.0.0.1:x"},
    ],
)
def test_one_that_cannot_be_is_passed_over(tmp_path: Path, odd: dict[str, object]) -> None:
    """A number that no process has, an address that nobody can connect to: the others are found all the same."""
    InstanceFile(instance(), tmp_path).write()
    (tmp_path / "x.json").write_bytes(msgspec.json.encode({**msgspec.to_builtins(instance()), **odd}))
    (tmp_path / "x.lock").write_text(str(odd.get("pid")))
    assert list(instances(tmp_path)) == [instance()]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    """A pipe is not waited for, and a link is not followed."""
    InstanceFile(instance(), tmp_path).write()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(f"{instance().name}.json")
    assert list(instances(tmp_path)) == [instance()]
