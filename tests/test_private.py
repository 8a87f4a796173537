"""A private file: folders are made for the user alone, and what is not his own is not read."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import private


@pytest.fixture
def anybody() -> Iterator[None]:
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("anybody")
def test_every_folder_is_the_users_alone(tmp_path: Path) -> None:
    """Not the last one only: who may write to one above could put another in its place."""
    private.folder(tmp_path / "a" / "b" / "c")
    private.folder(tmp_path / "a" / "b" / "c")
    for name in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_where_there_is_a_file_no_folder_can_be(tmp_path: Path) -> None:
    """That is an error, as any other reason."""
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="a"):
        private.folder(tmp_path / "a" / "b")


def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    """A pipe is not waited for, a link not followed, a folder no file; and more than the limit is too much."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert private.read(tmp_path / "file", 5) == b"12345"
    for name, limit in (("file", 4), ("link", 5), ("pipe", 5), (".", 5), ("none", 5)):
        with pytest.raises(OSError, match=name):
            private.read(tmp_path / name, limit)


def test_another_users_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could put it there wants us to believe it."""
    (tmp_path / "file").write_bytes(b"12345")
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "file").stat().st_uid + 1)
    with pytest.raises(PermissionError, match="no file of the user's own"):
        private.read(tmp_path / "file", 5)
