"""Cookies: what one caller is given is not sent for another."""

from tests.server.wire import scripted
from tests.upstream.test_http import Recorder, plain, sent


async def test_no_cookie_of_a_named_host_is_kept() -> None:
    """Of hosts without a name, such as 127.0.0.1, the library keeps none anyway: only a name shows whether it would."""
    upstream = Recorder(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n")
    async with scripted(upstream) as base, plain(base.replace("127.0.0.1", "localhost")) as http:
        for _ in range(2):
            await sent(http, "/v1/a")
    assert [head.lower().count("\r\nhost: localhost") for head in upstream.heads] == [1, 1]
    assert "cookie" not in upstream.heads[1].lower()
