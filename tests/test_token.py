"""The token: what is one, whose file it may be read from, and that it cannot be seen."""

import copy
import os
import stat
import traceback
from pathlib import Path

import pytest

from proxy.token import BadToken, Token, open_to_others, read

SECRET = "marker-0123456789abcdef"


@pytest.mark.parametrize("text", ["x" * 16, "x" * 1_024, SECRET, "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"])
def test_visible_ascii_is_a_token(text: str) -> None:
    """From 16 to 1,024 visible characters, whichever: it matches itself and nothing else."""
    token = Token(text)
    assert token.matches(text.encode())
    others = (b"", text[:-1].encode(), text.encode() + b"x", text.swapcase().encode() + b"\xff", text.encode() + b"\n")
    assert not any(token.matches(other) for other in others)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x" * 15, "from 16 to 1,024 characters, not 15"),
        ("x" * 1_025, "from 16 to 1,024 characters, not 1,025"),
        ("", "from 16 to 1,024 characters, not 0"),
        (f"{SECRET}\n", "no white space"),
        (f" {SECRET}", "no white space"),
        (f"{SECRET}\0", "visible ASCII"),
        (f"{SECRET}ä", "visible ASCII"),
        (f"{SECRET}\udcff", "visible ASCII"),
    ],
)
def test_anything_else_is_none(text: str, problem: str) -> None:
    """Short, long or odd text is refused with what to do, and not repeated."""
    with pytest.raises(BadToken, match=problem) as refused:
        Token(text)
    assert "openssl rand -hex 32" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_token_cannot_be_seen() -> None:
    """Neither `repr`, nor format, nor a traceback of a call with it shows the text."""
    token = Token(SECRET)
    assert {repr(token), str(token), f"{token}", repr([token])[1:-1]} == {"Token(…)"}
    with pytest.raises(TypeError) as fault:
        token + token  # type: ignore[operator] # the point of the test
    assert SECRET not in "".join(traceback.TracebackException.from_exception(fault.value, capture_locals=True).format())


def test_tokens_are_compared_by_what_they_are() -> None:
    """Two of the same text are equal, in a set too; a text is no token."""
    assert Token(SECRET) == Token(SECRET) == copy.copy(Token(SECRET))
    assert len({Token(SECRET), Token(SECRET), Token(SECRET[::-1])}) == 2
    assert Token(SECRET) != SECRET


@pytest.mark.parametrize(("text", "plain"), [(SECRET, True), ("A-._~+=0" * 2, True), ("x" * 16 + "/", False)])
def test_what_a_url_takes_as_it_is(text: str, plain: bool) -> None:  # noqa: FBT001 - a parameter
    """Letters, digits and a few signs need no encoding, neither in a path nor in a shell."""
    assert Token(text).plain_in_urls is plain


@pytest.mark.parametrize(
    "content", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n", f"{SECRET}\nsecond line\n", f"{SECRET}\n\n\n"]
)
def test_the_first_line_is_the_token(tmp_path: Path, content: str) -> None:
    """With or without a line feed, and whatever follows."""
    file = tmp_path / "token"
    file.write_bytes(content.encode())
    file.chmod(0o600)
    assert read(file).matches(SECRET.encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"\n" + SECRET.encode(), SECRET.encode() + b" \n", b"\xef\xbb\xbf" + SECRET.encode(), b"x" * 10_000],
)
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, an empty first line, a byte order mark, an endless line."""
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(BadToken, match="a token h"):
        read(file)


def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    """Nothing there, a folder, a pipe that nobody writes to: the start never waits for it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for file, problem in (
        (tmp_path / SECRET, "there is no such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (pipe, "is not a regular file"),
        (pipe / "x", "cannot be read: Not a directory"),
    ):
        with pytest.raises(BadToken, match=problem) as refused:
            read(file)
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666, 0o620, 0o601, 0o777])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """Any access for others, or more than reading for the group: the command to type is in the line."""
    file = tmp_path / "my token"
    file.write_text(SECRET)
    file.chmod(mode)
    with pytest.raises(BadToken) as refused:
        read(file)
    assert str(refused.value) == f"others can read or change {file} (mode {mode:04o}): chmod 600 '{file}'"


def test_links_are_followed_to_the_file_that_counts(tmp_path: Path) -> None:
    """A secret that is mounted by links, as Kubernetes does, is judged by the file at their end."""
    real = tmp_path / "..data" / "token"
    real.parent.mkdir()
    real.write_text(SECRET)
    link = tmp_path / "token"
    link.symlink_to("..data/token")
    real.chmod(0o400)
    assert read(link).matches(SECRET.encode())
    real.chmod(0o644)
    with pytest.raises(BadToken, match="chmod 600"):
        read(link)


@pytest.mark.parametrize(
    ("mode", "owner", "refused"),
    [
        (0o600, 1000, False),
        (0o400, 1000, False),
        (0o640, 1000, True),
        (0o640, 0, False),
        (0o440, 0, False),
        (0o660, 0, True),
        (0o650, 0, True),
        (0o444, 0, True),
        (0o604, 0, True),
        (0o602, 1000, True),
    ],
)
def test_only_a_file_of_root_may_be_read_by_its_group(mode: int, owner: int, refused: bool) -> None:  # noqa: FBT001 - a parameter
    """An ordinary user's is his alone; root's may be given to a group, for a process that is not root."""
    assert open_to_others(stat.S_IFREG | mode, owner) is refused
