"""Messages: the raw bytes of a connection, taken apart."""

from tests.clients.messages import messages

_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;x=1\r\n wor\r\n\r\n0\r\n\r\n"
)


def test_messages_that_follow_each_other_are_told_apart() -> None:
    """A body by length, one in chunks, and an answer without one each end where the next begins."""
    first = b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}"
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    found = list(messages(first + _CHUNKED + empty + first))
    assert [message.body for message in found] == [b"{}", b"hello wor\r\n", b"", b"{}"]
    assert [message.at for message in found] == [
        0,
        len(first),
        len(first + _CHUNKED),
        len(first + _CHUNKED + empty),
    ]
    assert all(message.whole for message in found)


def test_what_is_cut_is_not_whole() -> None:
    """Every cut inside a chunked answer's body is seen, also one that falls between two chunks."""
    head = _CHUNKED.index(b"\r\n\r\n") + 4
    for end in range(head, len(_CHUNKED)):
        (message,) = messages(_CHUNKED[:end])
        assert not message.whole, end
    (message,) = messages(_CHUNKED)
    assert message.whole


def test_interim_answers_are_left_out() -> None:
    """`100 Continue` is no answer to the request; the one that follows is."""
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert [message.start for message in messages(data)] == ["HTTP/1.1 200 OK"]


def test_trailers_belong_to_their_message() -> None:
    """A chunked body may end with header lines: the next message begins after them."""
    with_trailer = _CHUNKED.removesuffix(b"\r\n") + b"X-Sum: 1\r\n\r\n"
    assert [message.body for message in messages(with_trailer + _CHUNKED)] == [b"hello wor\r\n"] * 2
