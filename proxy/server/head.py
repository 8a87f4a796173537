"""A request head: whether every server would read it alike, and how the body behind it is framed."""

import re
from dataclasses import dataclass

LARGEST_LINE = 65_536
LARGEST_HEAD = 131_072
MOST_FIELDS = 256

# As the C parser of the HTTP library knows them; without it the library would take any word, and raise its case.
_METHODS = frozenset(
    b"ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS"
    b" PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK"
    b" UNSUBSCRIBE".split()
)
_LINE = re.compile(rb"([A-Z-]+) (/[\x21\x22\x24-\x7e]*) HTTP/1\.([01])")
_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
# A sign, a leading zero or a number beyond 64 bits is read in several ways.
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
# Of these, two would be read as the first, the last, or both.
_ONCE = (
    *(b"content-length", b"transfer-encoding", b"host", b"content-type", b"upgrade", b"expect"),
    *(b"content-location", b"content-range", b"etag", b"max-forwards", b"server", b"user-agent"),
)


class Malformed(Exception):
    """No HTTP request, or one that two servers may read differently. The text says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Body:
    """How the body after a head is framed: `length` bytes, or chunks. After an upgrade there is no HTTP any more."""

    length: int = 0
    chunked: bool = False
    upgrade: bool = False


def check(head: bytes) -> Body:
    """Judge a head, given without the empty line that ends it. Raises Malformed."""
    line, *fields = head.split(b"\r\n")
    version = check_line(line)
    if len(fields) > MOST_FIELDS:
        raise Malformed(f"more than {MOST_FIELDS} header fields")
    once: dict[bytes, bytes] = {}
    connection: list[bytes] = []
    for field in fields:
        name, value = check_field(field)
        if name in _ONCE:
            if name in once:
                raise Malformed(f"the header {name.decode()} came twice")
            once[name] = value
        elif name == b"connection":
            connection += (word.strip(b" \t").lower() for word in value.split(b","))
    if version == b"1" and b"host" not in once:
        raise Malformed("it has no Host header")
    if once.get(b"expect", b"100-continue").lower() != b"100-continue":
        raise Malformed("the one expectation that can be met is 100-continue")
    body = _body(version, once.get(b"content-length"), once.get(b"transfer-encoding"))
    if once.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in connection:
        return body
    if body != Body():
        raise Malformed("an upgrade cannot have a body")
    return Body(upgrade=True)


def check_line(line: bytes) -> bytes:
    """Judge a request line; gives the minor version. Raises Malformed."""
    if len(line) > LARGEST_LINE:
        raise Malformed(f"its first line is longer than {LARGEST_LINE:,} bytes")
    parts = _LINE.fullmatch(line)
    if parts and parts[1] in _METHODS:
        return parts[3]
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if method == b"PRI":
        raise Malformed("HTTP/2 is not served: use HTTP/1.1")
    if parts or method not in {*_METHODS, b"CONNECT"}:
        raise Malformed("its method is unknown")
    if version not in {b"HTTP/1.0", b"HTTP/1.1"}:
        raise Malformed("its first line does not end in HTTP/1.1")
    if not target.startswith(b"/"):
        raise Malformed("the request target must be a path: Openline is not a forward proxy")
    raise Malformed("its target has characters that must be percent-encoded")


def check_field(field: bytes) -> tuple[bytes, bytes]:
    """Judge a header line; gives its name in lower case and its value. Raises Malformed."""
    if len(field) > LARGEST_LINE:
        raise Malformed(f"a header field is longer than {LARGEST_LINE:,} bytes")
    parts = _FIELD.fullmatch(field)
    if parts is None:
        if field.startswith((b" ", b"\t")):
            raise Malformed("a header field is folded over several lines")
        raise Malformed("a header field has no name, no colon, white space before it, or control characters")
    return parts[1].lower(), parts[2].rstrip(b" \t")


def _body(version: bytes, length: bytes | None, coding: bytes | None) -> Body:
    if coding is not None:
        if length is not None:
            raise Malformed("it has both a Content-Length and a Transfer-Encoding")
        if version == b"0":
            raise Malformed("HTTP/1.0 knows no Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise Malformed("the only transfer coding that can be passed on is chunked")
        return Body(chunked=True)
    if length is not None and not _LENGTH.fullmatch(length):
        raise Malformed("its Content-Length is no plain number")
    return Body(length=int(length or b"0"))
