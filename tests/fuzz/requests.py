"""Requests as bytes: most of their parts as they should be, some of them odd in every way that HTTP knows."""

from hypothesis import strategies as st

from tests.fuzz.mutants import torn

BODY = b'{"model":"m","input":"hi","store":false}'
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"

METHODS = (
    b"POST",
    b"GET",
    b"PUT",
    b"HEAD",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"post",
    b"P\x00ST",
    b"GE T",
    b"",
    b"X" * 300,
)
TARGETS = (
    b"/v1/_echo",
    b"/v1/responses",
    b"/v1/responses?x=1",
    b"/healthz",
    b"//v1/../%2e%2e/\\",
    b"/v1/_echo#frag",
    b"/\xff",
    b"/a b",
    b"/%",
    b"*",
    b"localhost:80",
    b"http://127.0.0.1/v1/_echo",
    b"http://evil.example/",
    b"",
    b"/" + b"a" * 9_000,
    b"/" + b"a" * 70_000,
)
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1 ", b"", b"HTTP/1.10", b"ICY")
HOSTS = (
    b"Host: localhost",
    b"host:127.0.0.1:1",
    b"Host: evil.example",
    b"Host: ",
    b"Host: a, localhost",
    b"Host: [::1",
    b"",
)
FRAMINGS = (
    LENGTH,
    CHUNKED,
    b"",
    b"Content-Length: 5",
    b"Content-Length: 400",
    b"Content-Length: -1",
    b"Content-Length: +40",
    b"Content-Length: 0x28",
    b"Content-Length: 4_0",
    b"Content-Length: 40, 40",
    b"Content-Length: 99999999999999999999999999",
    b"Content-Length : 40",
    b"Content-Length: 40\r\nContent-Length: 41",
    b"Content-Length: 40\r\ncontent-length: 40",
    b"Content-Length:",
    b"Content-Length: 40\x00",
    LENGTH + b"\r\n" + CHUNKED,
    CHUNKED + b"\r\n" + LENGTH,
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"TRANSFER-ENCODING: CHUNKED",
)
EXTRAS = (
    b"",
    b"Expect: 100-continue",
    b"Expect: tea",
    b"Connection: close",
    b"Connection: x-mark, host, content-length, transfer-encoding",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    b"Upgrade: websocket",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br, br, br, br",
    b"Content-Type: \x7f",
    b"x-openline-mode: off",
    b"x-openline-mode: \xff",
    b"Cookie: a=b",
    b"X-Odd: \xff\xfe",
    b"X-Odd: a\x00b",
    b"X-Odd: a\x01b",
    b"X-Odd: a\rb",
    b"X-Odd: a\n b",
    b" folded: first",
    b"X-Odd: a\r\n folded",
    b"X Odd: a",
    b"X\xffOdd: a",
    b": nameless",
    b"nocolon",
    b"Via: 1.1 openline-x",
    b"Origin: http://evil.example",
    b"X-Long: " + b"a" * 70_000,
    b"\r\n".join(b"X-%d: a" % n for n in range(300)),
    b"Range: bytes=0-1",
    b"If-None-Match: *",
    b"Trailer: x-mark",
    b"TE: trailers, chunked",
    b"Proxy-Connection: keep-alive",
    b"Keep-Alive: timeout=0",
)
CHUNKS = (
    b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    b'%x;ext="a"\r\n%b\r\n0\r\nX-T: 1\r\n\r\n' % (len(BODY), BODY),
    b"%x\n%b\n0\n\n" % (len(BODY), BODY),
    b"0x%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    b"+%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    b"%x \r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    b"-1\r\n%b\r\n0\r\n\r\n" % BODY,
    b"ffffffffffffffffff\r\n%b\r\n0\r\n\r\n" % BODY,
    b"5\r\n%b\r\n0\r\n\r\n" % BODY,
    b"\r\n%b\r\n0\r\n\r\n" % BODY,
    b"%x\r\n%bXX0\r\n\r\n" % (len(BODY), BODY),
    b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(BODY), b"e" * 70_000, BODY),
    b"1\r\n{\r\n" * 100 + b"0\r\n\r\n",
    b"0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
)
_BODIES = st.sampled_from([BODY, b"", BODY[:5], BODY * 2, *CHUNKS])


def usual(first: bytes, *others: bytes) -> st.SearchStrategy[bytes]:
    """Most often the usual, else another."""
    return st.just(first) | st.sampled_from((first, *others))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request; most of its parts are as they should be. `x-mark: %d` is to be filled in."""
    body = draw(_BODIES)
    framing = draw(
        st.just(CHUNKED if body in CHUNKS else b"Content-Length: %d" % len(body)) | st.sampled_from(FRAMINGS)
    )
    fields = [
        draw(usual(*HOSTS)),
        b"x-mark: MARK",
        b"Authorization: Bearer k",
        framing,
        draw(usual(*EXTRAS)),
        draw(usual(*EXTRAS)),
    ]
    start = b" ".join([draw(usual(*METHODS)), draw(usual(*TARGETS)), draw(usual(*VERSIONS))])
    end = draw(usual(b"\r\n", b"\n", b"\r"))
    head = end.join([start, *(field for field in draw(st.permutations(fields)) if field), b"", b""])
    return head + body


def broken() -> st.SearchStrategy[bytes]:
    """A request, one whose bytes were torn, or what is no request at all."""
    noise = st.binary(max_size=60) | st.sampled_from(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n" * 50,
            b"GET / HTTP/1.1\r\n" * 20,
            b"A" * 100_000,
            b"\x81\x85\x00\x00\x00\x00hello",
        ]
    )
    return requests() | torn(requests()) | noise
