"""Requests that are none, or that two servers may read differently: the table that the tests of the ways in share."""

GET = b"GET /v1/_echo/sk-secret HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /v1/_echo/sk-secret HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
_END = b"\r\n\r\n"


def line(text: bytes) -> bytes:
    """A request with this first line."""
    return text + b"\r\nHost: localhost\r\n\r\n"


def header(text: bytes) -> bytes:
    """A request with this header line beside Host."""
    return GET + text + _END


def framed(*fields: bytes) -> bytes:
    """A POST with these framing fields, and bytes behind it that are a body, a chunked one, or another request."""
    return POST + b"\r\n".join(fields) + _END + b"5\r\nGET /\r\n0\r\n\r\n"


# Malformed before the head has ended: nothing of these is a request.
HEADS: dict[str, bytes] = {
    # lengths
    "two different lengths": framed(b"Content-Length: 3", b"Content-Length: 15"),
    "two equal lengths": framed(b"Content-Length: 15", b"Content-Length: 15"),
    "two lengths in two spellings": framed(b"Content-Length: 3", b"content-length: 15"),
    "a list of lengths": framed(b"Content-Length: 15, 15"),
    "a negative length": framed(b"Content-Length: -1"),
    "a length with a plus": framed(b"Content-Length: +15"),
    "a hexadecimal length": framed(b"Content-Length: 0xf"),
    "a length with a zero ahead": framed(b"Content-Length: 015"),
    "a length with a blank": framed(b"Content-Length: 1 5"),
    "a length with a letter": framed(b"Content-Length: 15x"),
    "a length with an underscore": framed(b"Content-Length: 1_5"),
    "a length with a fraction": framed(b"Content-Length: 15.0"),
    "an empty length": framed(b"Content-Length: "),
    "a length in foreign digits": framed("Content-Length: \u0661\u0665".encode()),
    "a length beyond 64 bits": framed(b"Content-Length: 18446744073709551631"),
    # codings
    "a length and a coding": framed(b"Content-Length: 15", b"Transfer-Encoding: chunked"),
    "a coding and a length": framed(b"Transfer-Encoding: chunked", b"Content-Length: 15"),
    "a length of nothing and a coding": framed(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    "two codings": framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked and identity": framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "xchunked": framed(b"Transfer-Encoding: xchunked"),
    "chunked twice": framed(b"Transfer-Encoding: chunked, chunked"),
    "identity": framed(b"Transfer-Encoding: identity"),
    "gzip, chunked": framed(b"Transfer-Encoding: gzip, chunked"),
    "chunked, gzip": framed(b"Transfer-Encoding: chunked, gzip"),
    "chunked with a parameter": framed(b"Transfer-Encoding: chunked;q=1"),
    "chunked with a vertical tab": framed(b"Transfer-Encoding: \x0bchunked"),
    "chunked with a foreign blank": framed(b"Transfer-Encoding: \xa0chunked"),
    "chunked in quotes": framed(b'Transfer-Encoding: "chunked"'),
    "chunked with a comma": framed(b"Transfer-Encoding: chunked,"),
    "an empty coding": framed(b"Transfer-Encoding: "),
    "a foreign letter in chunked": framed("Transfer-Encoding: chun\u212aed".encode()),
    "a coding on a folded line": framed(b"Transfer-Encoding:", b" chunked"),
    "a coding with a blank before the colon": framed(b"Transfer-Encoding : chunked"),
    "a coding with a tab before the colon": framed(b"Transfer-Encoding\t: chunked"),
    "a coding in HTTP/1.0": framed(b"Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
    # line ends and control characters
    "a bare LF after the first line": GET.replace(b"1.1\r\n", b"1.1\n") + b"\r\n",
    "a bare CR after the first line": GET.replace(b"1.1\r\n", b"1.1\r") + b"\r\n",
    "a bare LF after a header": header(b"X-A: 1\nX-B: 2"),
    "a bare CR after a header": header(b"X-A: 1\rX-B: 2"),
    "a bare LF that hides a coding": framed(b"X-A: 1\nTransfer-Encoding: chunked"),
    "bare LFs throughout": GET.replace(b"\r\n", b"\n") + b"\n",
    "a CR too many": header(b"X-A: 1\r"),
    "NUL in a header": header(b"X-A: a\x00b"),
    "NUL in a name": header(b"X\x00A: b"),
    "NUL in the target": line(b"GET /v1/\x00 HTTP/1.1"),
    "a control character in a header": header(b"Authorization: Bearer sk-secret\x01"),
    "DEL in a header": header(b"X-A: \x7f"),
    "a bare LF in the target": line(b"GET /v1/\nx HTTP/1.1"),
    "a bare CR in the target": line(b"GET /v1/\rx HTTP/1.1"),
    # header lines
    "a blank before the colon": header(b"X-A : 1"),
    "no name": header(b": 1"),
    "no colon": header(b"no colon sk-secret"),
    "a folded header": header(b"X-A: 1\r\n folded"),
    "a header that begins with a blank": GET.replace(b"\r\nHost", b"\r\n Host") + b"\r\n",
    "a name with a bracket": header(b"X[A]: 1"),
    "a name with a raw byte": header(b"X-\xe4: 1"),
    "two Hosts": header(b"Host: localhost"),
    "two Hosts that differ": header(b"host: evil.example"),
    "no Host": b"GET /v1/_echo/x HTTP/1.1\r\nX-A: 1\r\n\r\n",
    "nothing but a first line": b"GET /v1/_echo/x HTTP/1.1\r\n\r\n",
    "two content types": header(b"Content-Type: a/b\r\nContent-Type: c/d"),
    "an old WebSocket": header(b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5"),
    "an unknown expectation": header(b"Expect: a-miracle"),
    # first lines
    "a target with a host": line(b"GET http://localhost/v1/models HTTP/1.1"),
    "a target with a foreign host": line(b"GET http://evil.example/ HTTP/1.1"),
    "a target that is a host": line(b"GET localhost:80 HTTP/1.1"),
    "CONNECT": line(b"CONNECT evil.example:443 HTTP/1.1"),
    "CONNECT with a path": line(b"CONNECT /v1/models HTTP/1.1"),
    "an asterisk": line(b"OPTIONS * HTTP/1.1"),
    "an asterisk for GET": line(b"GET * HTTP/1.1"),
    "an empty target": line(b"GET  HTTP/1.1"),
    "no target": line(b"GET HTTP/1.1"),
    "a relative target": line(b"GET v1/models HTTP/1.1"),
    "a fragment": line(b"GET /v1/models#top HTTP/1.1"),
    "a raw byte in the target": line(b"GET /v1/caf\xe9 HTTP/1.1"),
    "a blank in the target": line(b"GET /v1/a b HTTP/1.1"),
    "a tab instead of a blank": line(b"GET\t/v1/models HTTP/1.1"),
    "two blanks": line(b"GET  /v1/models HTTP/1.1"),
    "a blank at the end": line(b"GET /v1/models HTTP/1.1 "),
    "a blank at the beginning": line(b" GET /v1/models HTTP/1.1"),
    "HTTP/0.9": b"GET /v1/models\r\n",
    "HTTP/0.9 by name": line(b"GET /v1/models HTTP/0.9"),
    "HTTP/1.2": line(b"GET /v1/models HTTP/1.2"),
    "HTTP/1.10": line(b"GET /v1/models HTTP/1.10"),
    "HTTP/1": line(b"GET /v1/models HTTP/1"),
    "HTTP/2.0": line(b"GET /v1/models HTTP/2.0"),
    "HTTP/3.0": line(b"GET /v1/models HTTP/3.0"),
    "http/1.1": line(b"GET /v1/models http/1.1"),
    "another protocol": line(b"GET /v1/models RTSP/1.0"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "an unknown method": line(b"FROB /v1/models HTTP/1.1"),
    "a method in small letters": line(b"get /v1/models HTTP/1.1"),
    "a method with a bracket": line(b"GE(T /v1/models HTTP/1.1"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03sk-secret",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "binary": bytes(range(128, 256)),
    "a NUL": b"\x00",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "blank lines": b"\r\n" * 9 + GET + b"\r\n",
    "a blank line of LF": b"\n" + GET + b"\r\n",
    # upgrades
    "a WebSocket with a length": header(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5") + b"GET /",
    "a WebSocket with chunks": header(b"Connection: Upgrade\r\nUpgrade: WebSocket\r\nTransfer-Encoding: chunked"),
    "two upgrades": header(b"Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket"),
    # sizes
    "too many headers": GET + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n",
    "a header too large": header(b"X-A: " + b"a" * 66_000),
    "a name too large": header(b"a" * 66_000 + b": 1"),
    "a head too large": GET + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 40_000) for n in range(4)) + b"\r\n",
    "a head without an end": GET + b"X-A: " + b"a" * 140_000,
    "a target too long": line(b"GET /" + b"a" * 66_000 + b" HTTP/1.1"),
    "a first line without an end": b"GET /" + b"a" * 140_000,
}

# Malformed after a head that was right: what has gone upstream by then is cut off there.
BODIES: dict[str, bytes] = {
    "a size that is none": CHUNKED + b"zz\r\n",
    "a size with a prefix": CHUNKED + b"0x5\r\nhello\r\n",
    "a negative size": CHUNKED + b"-5\r\nhello\r\n",
    "a size with a plus": CHUNKED + b"+5\r\nhello\r\n",
    "a size with a blank": CHUNKED + b"5 \r\nhello\r\n",
    "a size with a blank ahead": CHUNKED + b" 5\r\nhello\r\n",
    "a size with an underscore": CHUNKED + b"1_0\r\n",
    "an empty size": CHUNKED + b"\r\nhello\r\n",
    "a huge size": CHUNKED + b"ffffffffffffffff\r\nhello\r\n",
    "a size beyond 64 bits": CHUNKED + b"1" + b"0" * 16 + b"\r\nhello\r\n",
    "a size without an end": CHUNKED + b"0" * 5_000,
    "a size that ends in LF": CHUNKED + b"5\nhello\r\n",
    "a size that ends in CR": CHUNKED + b"5\rhello\r\n",
    "an extension that ends in LF": CHUNKED + b"5;a\nhello\r\n0\r\n\r\n",
    "an extension with a NUL": CHUNKED + b"5;a\x00\r\nhello\r\n",
    "an extension without an end": CHUNKED + b"5;" + b"a" * 5_000,
    "an extension after a blank": CHUNKED + b"5 ;a=b\r\nhello\r\n",
    "a chunk that is longer": CHUNKED + b"3\r\nhello\r\n0\r\n\r\n",
    "a chunk that ends in LF": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "a later size that is none": CHUNKED + b"5\r\nhello\r\nx\r\n",
    "a trailer with a blank before the colon": CHUNKED + b"0\r\nX-A : 1\r\n\r\n",
    "a trailer that is none": CHUNKED + b"0\r\nno colon\r\n\r\n",
    "a trailer with a bare LF": CHUNKED + b"0\r\nX-A: 1\nX-B: 2\r\n\r\n",
    "a trailer that is another request": CHUNKED + b"0\r\nGET /v1/_echo/x HTTP/1.1\r\n\r\n",
    "trailers too large": CHUNKED + b"0\r\nX-A: " + b"a" * 10_000,
}
