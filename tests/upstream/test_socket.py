"""A socket: whatever its reads are, its messages are those that the host sent, in their order."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import CloseCode

from proxy.upstream.frames import LARGEST
from tests.upstream.reads import Ends, Taken

PIECE = b'{"type":"response.output_text.delta","delta":"%d"}'
Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.sampled_from(["text", "text", "fragments", "ping", "binary", "pong"]), st.integers(0, 400)),
    max_size=12,
)
cuts = st.lists(st.integers(0, 3_000), max_size=40)


def say(ends: Ends, step: Step) -> list[bytes]:
    """Have the host do it; what the other end is to get."""
    kind, size = step
    payload = b"\xc2\x81\x02x" * (size // 4)  # from the second byte on, each four would be a frame elsewhere
    match kind:
        case "text":
            ends.host.send_text(payload)
            return [payload]
        case "fragments":
            ends.host.send_text(payload, fin=False)
            ends.host.send_ping(b"between")
            ends.host.send_continuation(b"", fin=False)
            ends.host.send_continuation(b"y", fin=True)
            return [payload + b"y"]
        case "binary":
            ends.host.send_binary(payload)
            return [b""]
        case "ping":
            ends.host.send_ping(payload[:100])
        case _:
            ends.host.send_pong(payload[:100])
    return []


def in_loop(work: Callable[[], None]) -> None:
    """The library's connections belong to a loop."""

    async def run() -> None:
        work()

    asyncio.run(run())


def exchanged(todo: list[Step], at: list[int], ends: Callable[[], Ends], *, early: bool) -> None:
    """What is heard is what was said, with the handshake among the reads."""
    one, taken = ends(), Taken()
    expected = [message for step in todo for message in say(one, step)]
    if not early:
        one.socket.listen(taken)
    one.hear(one.said(), at)
    if early:
        one.socket.listen(taken)
    assert taken.messages == expected
    assert not one.wire.aborted


@given(steps, cuts, st.booleans())
@example([("fragments", 300)], [*range(0, 900, 4)], False)  # noqa: FBT003 - hypothesis takes them by place
@example([("fragments", 300)], [*range(1, 900, 4)], False)  # noqa: FBT003 - same
@example([("fragments", 300)], [*range(2, 900, 4)], False)  # noqa: FBT003 - same
@example([("fragments", 300)], [*range(3, 900, 4)], False)  # noqa: FBT003 - same
@example([("text", 126), ("text", 125), ("text", 127)], [], False)  # noqa: FBT003 - same
def test_messages_come_whole_and_in_order(todo: list[Step], at: list[int], early: bool) -> None:  # noqa: FBT001 - same
    """However the reads fall: amid the handshake, a head, a message, between fragments; also before anybody listens."""
    in_loop(partial(exchanged, todo, at, Ends, early=early))


@given(steps, cuts, st.booleans())
def test_compressed_messages_do_too(todo: list[Step], at: list[int], takeover: bool) -> None:  # noqa: FBT001 - same
    """With one window for all messages as with one for each: the library and the cut share it."""
    in_loop(partial(exchanged, todo, at, partial(Ends, deflate=True, takeover=takeover), early=False))


@pytest.mark.parametrize("size", [LARGEST - 4, LARGEST, LARGEST + 1, 300_000])
def test_large_messages_come_between_small_ones(size: int) -> None:
    """Those that are the library's keep their place among those that are cut."""
    in_loop(
        partial(exchanged, [("text", 3), ("text", size), ("text", 5)], [*range(0, 400_000, 50_000)], Ends, early=False)
    )


def test_all_that_one_read_brings_comes_at_once() -> None:
    """A hundred messages in one read are one call: nobody is woken for each."""

    def work() -> None:
        ends, taken = Ends(), Taken()
        ends.socket.listen(taken)
        ends.hear(ends.said())
        for number in range(100):
            ends.host.send_text(PIECE % number)
        ends.hear(ends.said())
        assert (len(taken.messages), taken.reads) == (100, 1)

    in_loop(work)


def test_pings_are_answered_among_the_messages() -> None:
    """The library sees every control frame."""

    def work() -> None:
        ends = Ends()
        ends.socket.listen(Taken())
        ends.hear(ends.said())
        ends.host.send_text(b"before")
        ends.host.send_ping(b"are you there?")
        ends.host.send_text(b"behind")
        ends.wire.written.clear()
        ends.hear(ends.said())
        ends.host.receive_data(bytes(ends.wire.written))
        (pong,) = ends.host.events_received()
        assert getattr(pong, "data", None) == b"are you there?"

    in_loop(work)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x83\x01x",
        b"\xf1\x01x",
        b"\x81\x81abcdx",
        b"\x80\x01x",
        b"\xc1\x02xx",
        b"\x81\x02\xc3x",
        b"\x01\x01\xc3\x80\x01x",
    ],
    ids=[
        "opcode",
        "reserved bits",
        "masked",
        "continues nothing",
        "compressed unasked",
        "no UTF-8",
        "none in fragments",
    ],
)
def test_a_host_that_breaks_the_protocol_is_given_up(rubbish: bytes) -> None:
    """At once, and what came before is heard."""

    def work() -> None:
        ends, taken = Ends(), Taken()
        ends.socket.listen(taken)
        ends.host.send_text(b"before")
        ends.hear(ends.said() + rubbish + b"\x81\x06behind")
        assert taken.messages == [b"before"]
        assert ends.wire.aborted

    in_loop(work)


def test_what_cannot_be_inflated_is_given_up() -> None:
    """A window that does not fit is a line that cannot be read any more."""

    def work() -> None:
        ends, taken = Ends(deflate=True), Taken()
        ends.socket.listen(taken)
        ends.hear(ends.said() + b"\xc1\x05\xff\xff\xff\xff\xff")
        assert (taken.messages, ends.wire.aborted) == ([], True)

    in_loop(work)


@pytest.mark.parametrize("listens", ["before", "after"])
def test_the_end_is_told_with_its_code(listens: str) -> None:
    """Also to who begins to listen when all is over."""

    def work() -> None:
        ends, taken = Ends(), Taken()
        if listens == "before":
            ends.socket.listen(taken)
        ends.host.send_text(b"last")
        ends.host.send_close(CloseCode.MESSAGE_TOO_BIG)
        ends.hear(ends.said())
        ends.socket.connection_lost(None)
        if listens == "after":
            ends.socket.listen(taken)
        assert taken.messages == [b"last"]
        assert taken.error is not None
        assert taken.error.rcvd is not None
        assert taken.error.rcvd.code == CloseCode.MESSAGE_TOO_BIG

    in_loop(work)
