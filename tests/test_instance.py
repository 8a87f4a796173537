"""Instance: the file by which the command line finds a running proxy, for its owner alone."""

import multiprocessing
import os
import stat
from pathlib import Path

import msgspec
import pytest

from proxy.instance import Instance, InstanceFile, instances


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
    (file,) = (tmp_path / "a" / "running").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "marker" not in repr(instance())


def test_what_a_crash_left_is_taken_away(tmp_path: Path) -> None:
    """A file whose process is gone is nobody's."""
    child = multiprocessing.get_context("spawn").Process()
    child.start()
    child.join()
    assert child.pid is not None
    InstanceFile(instance(pid=child.pid), tmp_path).write()
    assert list(instances(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_successors_file_stays(tmp_path: Path) -> None:
    """Who ends takes away what is his, not what another put in its place."""
    before, after = InstanceFile(instance(), tmp_path), InstanceFile(instance(started_at=2.5), tmp_path)
    before.write()
    after.write()
    before.remove()
    assert list(instances(tmp_path)) == [instance(started_at=2.5)]
    after.remove()
    after.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]"])
def test_what_cannot_be_read_is_no_instance(tmp_path: Path, content: bytes) -> None:
    """A damaged or foreign file is passed over, and left where it is."""
    (tmp_path / "x.json").write_bytes(content)
    assert list(instances(tmp_path)) == []
    assert (tmp_path / "x.json").exists()


def test_a_file_of_a_later_version_is_read(tmp_path: Path) -> None:
    """Fields that are not known do not hide an instance: the command line must be able to say what runs."""
    fields = {**msgspec.to_builtins(instance()), "colour": "blue"}
    (tmp_path / "x.json").write_bytes(msgspec.json.encode(fields))
    assert list(instances(tmp_path)) == [instance()]
