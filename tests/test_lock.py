"""Lock: who has the right to a place, and who answers for it."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proxy.lock import Held, Lock


def sleeper(lock: Lock) -> "subprocess.Popen[bytes]":
    """A process that inherits the lock and does nothing."""
    words = (sys.executable, "-c", "input()")
    return subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[lock.descriptor])  # noqa: S603 - Python itself


def test_one_has_the_lock(tmp_path: Path) -> None:
    """Another cannot take it until it is given up; who answers for the place is known once he has said so."""
    path = tmp_path / "some" / "lock"
    assert Lock.holder(path) is None
    lock = Lock.take(path)
    with pytest.raises(Held):
        Lock.take(path)
    assert Lock.holder(path) is None
    assert not lock.ours
    lock.sign()
    assert (Lock.holder(path), lock.ours) == (os.getpid(), True)
    lock.release()
    assert not path.exists()
    again = Lock.take(path)
    assert Lock.holder(path) is None
    again.release()


def test_whoever_inherits_it_keeps_it(tmp_path: Path) -> None:
    """It is held until the last process that has the descriptor ends, however that ends."""
    path = tmp_path / "lock"
    lock = Lock.take(path)
    lock.sign()
    with sleeper(lock) as heir:
        lock.leave()
        with pytest.raises(Held):
            Lock.take(path)
        heir.kill()
        heir.wait()
        assert Lock.holder(path) is None
        Lock.take(path).release()


def test_a_file_that_went_meanwhile_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens it just before its holder takes it away gets the lock of the one that is there then."""
    path = tmp_path / "lock"
    first = Lock.take(path)
    flock = fcntl.flock
    removed: list[bool] = []

    def late(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(True)
            first.release()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    second = Lock.take(path)
    assert os.path.samestat(os.fstat(second.descriptor), path.stat())
    second.release()


def test_who_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    """However many ask who has it, one that nobody has can be taken."""
    path = tmp_path / "lock"
    left = Lock.take(path)
    left.sign()
    left.leave()
    enough = threading.Event()

    def look() -> None:
        while not enough.is_set():
            assert Lock.holder(path) in {None, os.getpid()}

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for each in lookers:
        each.start()
    try:
        for _ in range(300):
            lock = Lock.take(path)
            lock.sign()
            lock.leave()
    finally:
        enough.set()
        for each in lookers:
            each.join()


def test_it_is_signed_anew_at_once(tmp_path: Path) -> None:
    """Who looks while another process says that it answers now never finds nobody."""
    path = tmp_path / "lock"
    lock = Lock.take(path)
    os.pwrite(lock.descriptor, b"12345678901234567890", 0)
    before = os.fstat(lock.descriptor).st_size
    lock.sign()
    assert os.fstat(lock.descriptor).st_size == before
    assert Lock.holder(path) == os.getpid()
    lock.release()


def test_what_is_no_lock_of_ours_is_nobodys(tmp_path: Path) -> None:
    """A pipe is not waited for, and a link is not followed."""
    os.mkfifo(tmp_path / "pipe")
    held = Lock.take(tmp_path / "held")
    held.sign()
    (tmp_path / "link").symlink_to("held")
    assert Lock.holder(tmp_path / "pipe") is None
    assert Lock.holder(tmp_path / "link") is None
    held.release()
