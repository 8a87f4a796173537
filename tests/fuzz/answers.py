"""Answers over plain HTTP, and to upgrades, that are nearly right or nothing of the kind."""

from hypothesis import strategies as st

from tests.fuzz.mutants import torn
from tests.fuzz.streams import Script
from tests.fuzz.upstream import Cut

STARTS = (
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.0 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/1.1 abc OK",
    b"HTTP/1.1 99 Odd",
    b"HTTP/1.1 1000 Odd",
    b"HTTP/1.1 -200 Odd",
    b"HTTP/1.1 600 Odd",
    b"HTTP/1.1 204 No",
    b"HTTP/1.1 304 No",
    b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
    b"HTTP/1.1 200 \xff\x01\x00",
    b"ICY 200 OK",
    b"SSH-2.0-x",
    b"",
    *(b"HTTP/1.1 %d Said" % status for status in (400, 401, 403, 404, 405, 418, 426, 429, 500, 502, 503, 599)),
)
FIELDS = (
    b"Content-Type: application/json",
    b"Content-Encoding: gzip",
    b"Content-Length: -5",
    b"Content-Length: x",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Retry-After: \x00",
    b"Retry-After: 1\r\nRetry-After: x",
    b"X-Odd: \xff\x01",
    b"X-Odd: a\r\n folded",
    b"nocolon",
    b": nameless",
    b"X Odd: a",
    b"X-Long: " + b"a" * 100_000,
    b"\r\n".join(b"X-%d: a" % n for n in range(400)),
    b"Set-Cookie: a=b; Domain=.example",
    b"x-openline-route: delta",
    b"x-request-id: a\tb",
    b"Sec-WebSocket-Accept: wrong",
    b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
    b"Sec-WebSocket-Protocol: nobody-asked",
)
BODIES = (
    b"",
    b'{"error":{"message":"no","code":"x"}}',
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhel",
    b"zz\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nforeign",
    b"\x81\x05hello",
)
_ends = st.sampled_from(["close", "reset", "silence", "next"])


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """One answer: its parts odd or right, torn or not, and then the line ends or stays silent."""
    body = draw(st.sampled_from(BODIES))
    length = b"Content-Length: %d" % (len(body) + draw(st.sampled_from([0, 0, 0, 5, -3]) if body else st.just(0)))
    fields = [length, *draw(st.lists(st.sampled_from(FIELDS), max_size=3))][0 if draw(st.booleans()) else 1 :]
    answer = b"\r\n".join([draw(st.sampled_from(STARTS)), *fields, b"", b""]) + body
    answer = draw(st.just(answer) | torn(st.just(answer)) | st.binary(max_size=80))
    end = draw(_ends)
    return [answer, *([] if end == "next" else [Cut(end)])]


answers = scripts() | st.just([b"HTTP/1.1 200 OK\r\n", Cut("endless")])
# To an upgrade, "next" would be a create.
handshakes = answers.map(lambda script: script if isinstance(script[-1], Cut) else [*script, Cut("close")])
