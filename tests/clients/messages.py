"""Messages: the HTTP/1.1 messages in the bytes of one direction of a connection."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """A request or an answer. `at`: offset of its first byte; `whole`: its body has come to its end."""

    at: int
    start: str
    headers: Mapping[str, str]
    body: bytes
    whole: bool


def messages(data: bytes) -> Iterator[Message]:
    """The messages in their order; interim answers (1xx) are left out. What follows a 101 is not HTTP any more."""
    at = 0
    while (end := data.find(b"\r\n\r\n", at)) >= 0:
        start, *lines = data[at:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = start.split(" ")[1] if start.startswith("HTTP/") else ""
        if status == "101":
            yield Message(at, start, headers, b"", whole=True)
            return
        body, after, whole = _body(data, end + 4, headers, status)
        if not status.startswith("1"):
            yield Message(at, start, headers, body, whole)
        at = after


def _body(data: bytes, at: int, headers: Mapping[str, str], status: str) -> tuple[bytes, int, bool]:
    """The body that begins there, where the next message begins, and whether the body is all there."""
    if status in {"204", "304"} or status.startswith("1"):
        return b"", at, True
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        return _chunks(data, at)
    if "content-length" in headers:
        size = int(headers["content-length"])
        return data[at : at + size], at + size, len(data) >= at + size
    if status:  # an answer without a length goes on to the end of the connection
        return data[at:], len(data), True
    return b"", at, True


def _chunks(data: bytes, at: int) -> tuple[bytes, int, bool]:
    """A chunked body; trailers are skipped."""
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        at = line + 2
        if not size:
            end = data.find(b"\r\n", at)
            while end > at:
                at, end = end + 2, data.find(b"\r\n", end + 2)
            return b"".join(parts), at + 2, end >= 0
        parts.append(data[at : at + size])
        at += size + 2
    return b"".join(parts), len(data), False
