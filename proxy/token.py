"""The token: the one secret that callers show where not everybody who reaches the listener may use it."""

import hmac
import os
import re
import shlex
import stat
from pathlib import Path

_SHORTEST = 16
_LONGEST = 1_024
_VISIBLE = re.compile(r"[\x21-\x7e]*")
_OTHERS = 0o007
_GROUP = 0o070
_GROUP_READS = 0o040
_MAKE_ONE = "make one with: openssl rand -hex 32"


class BadToken(Exception):
    """A token, or its file, that cannot be used. The message says what to do, and never holds the token."""


class Token:
    """A secret that can be compared and not be seen: its text is in no `repr`, `str`, error or encoder's reach."""

    __slots__ = ("__secret",)

    def __init__(self, text: str) -> None:
        """Raise BadToken where `text` is no token: 16 to 1,024 visible ASCII characters."""
        if not _VISIBLE.fullmatch(text):
            raise BadToken(f"a token holds visible ASCII characters only, no white space; {_MAKE_ONE}")
        if not _SHORTEST <= len(text) <= _LONGEST:
            length = f"from {_SHORTEST} to {_LONGEST:,} characters, not {len(text):,}"
            raise BadToken(f"a token has {length}; {_MAKE_ONE}")
        self.__secret = text.encode()

    def __repr__(self) -> str:
        return "Token(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and hmac.compare_digest(self.__secret, other.__secret)

    def __hash__(self) -> int:
        return hash(self.__secret)

    def matches(self, shown: bytes) -> bool:
        """Whether this is what was shown; takes as long whichever byte differs."""
        return hmac.compare_digest(self.__secret, shown)

    def is_in(self, text: bytes) -> bool:
        """Whether it stands somewhere in `text`."""
        return self.__secret in text

    @property
    def plain_in_urls(self) -> bool:
        """Whether it stands in a URL's path, and in double quotes of a shell, as it is."""
        return re.fullmatch(rb"[A-Za-z0-9._~+=-]+", self.__secret) is not None


def read(file: Path) -> Token:
    """The token on the first line of `file`. Raises BadToken: not there, not private, or no token."""
    try:
        # A pipe or a device could keep the start waiting for ever.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:  # noqa: PTH123 - flags
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BadToken(f"{file} is not a regular file")
            if open_to_others(found.st_mode, found.st_uid):
                mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
                raise BadToken(f"others can read or change {file} ({mode}): chmod 600 {shlex.quote(str(file))}")
            line = opened.readline(_LONGEST + 3)
    except FileNotFoundError:
        # The name is not repeated: it may be the token itself, given in the wrong place.
        raise BadToken("there is no such file: it must name a file whose first line is the token") from None
    except OSError as error:
        raise BadToken(f"{file} cannot be read: {error.strerror}") from None
    return Token(line.rstrip(b"\r\n").decode("latin-1"))


def open_to_others(mode: int, owner: int) -> bool:
    """Whether somebody but the file's owner has access to it.

    Root's files are an exception: their group may read. So a secret is that is mounted for an unprivileged process
    (Kubernetes with `fsGroup`), which could not change its mode anyway.
    """
    allowed = _GROUP_READS if owner == 0 else 0
    return bool(mode & (_OTHERS | _GROUP) & ~allowed)
