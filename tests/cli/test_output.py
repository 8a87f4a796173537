"""Output: lines arrive in order, and a reader that does not read holds up nobody."""

import os
import threading
from pathlib import Path

import pytest

from proxy.cli.output import Output


def test_lines_arrive_in_order() -> None:
    """Every line is written whole, in the order given, before close returns."""
    reader, writer = os.pipe()
    out = Output(writer)
    for number in range(100):
        out.line(f"line {number} …")
    out.close()
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as lines:
        assert lines.read().splitlines() == [f"line {number} …" for number in range(100)]


def test_a_file_is_renewed_now_and_then(tmp_path: Path) -> None:
    """After every 64 KiB or so it is asked whether the lines should go elsewhere; where they cannot, they go on."""
    called: list[int] = []

    def renew() -> None:
        called.append(os.fstat(file.fileno()).st_size)
        if len(called) == 1:
            raise OSError

    with (tmp_path / "log").open("wb") as file:
        out = Output(file.fileno(), renew)
        for _ in range(20):
            out.line("x" * 9_999)
        out.close()
        assert os.fstat(file.fileno()).st_size == 200_000
    assert called == [70_000, 140_000]


def test_a_full_pipe_holds_up_nobody() -> None:
    """While nobody reads, lines are dropped, not waited for; once somebody does, their number is said."""
    reader, writer = os.pipe()
    out = Output(writer)
    for _ in range(5_000):
        out.line("x" * 1_000)
    read: list[str] = []

    def read_all() -> None:
        with os.fdopen(reader, encoding="utf-8") as lines:
            read.extend(lines.read().splitlines())

    reading = threading.Thread(target=read_all)
    reading.start()
    out.close()
    os.close(writer)
    reading.join(10)
    said = [int(line[1:].split()[0]) for line in read if line.startswith("(")]
    assert len(read) - len(said) + sum(said) == 5_000
    assert sum(said) >= 2_900


def full_pipe() -> tuple[int, int]:
    """Both ends of a pipe that takes no more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4_096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("queued", [1, 2_001])  # 2,001: one in the thread's hand, 2,000 in the queue
def test_close_does_not_wait_for_a_reader_that_never_reads(queued: int) -> None:
    """With the pipe full, and even with the queue full, close gives up; the thread ends when the reader does."""
    reader, writer = full_pipe()
    out = Output(writer)
    for _ in range(queued):
        out._lines.put("x", timeout=10)
    out.close()
    assert out._thread.is_alive()
    os.close(reader)
    out._thread.join(10)
    assert not out._thread.is_alive()
    out.close()
    os.close(writer)


def test_a_reader_that_went_away_is_no_error() -> None:
    """After the other end is closed, lines go nowhere and close still returns."""
    reader, writer = os.pipe()
    os.close(reader)
    out = Output(writer)
    out.line("one")
    out.line("two")
    out.close()
    os.close(writer)
    assert not out._thread.is_alive()
