"""Pieces: what goes the short way reaches the turn that it would have reached the long way, as it would have."""

import asyncio
import json
import math
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Settings
from proxy.core.events import Event, Kind, sniff, unnamed
from proxy.core.heads import Head
from proxy.core.lanes import Lanes
from proxy.core.reasons import Whole
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import PoolKey
from proxy.upstream.capabilities import Capabilities, Host
from proxy.upstream.connection import Connection
from proxy.upstream.lease import Lease
from proxy.upstream.pieces import pieces
from tests.upstream.reads import Ends

TYPES = (
    "response.output_text.delta",
    "response.output_text.delta",
    "response.in_progress",
    "response.output_item.added",
)


@dataclass
class Turn:
    """A listener that keeps what it gets, piece by piece."""

    heard: list[tuple[str, bytes]] = field(default_factory=list)
    short: int = 0
    """How many came the short way."""
    fault: TurnFault | None = None

    def events(self, events: list[Event]) -> None:
        """Keep them."""
        self.heard += [(event.type, frame) for event in events for frame in (event.frame, *event.more)]

    def pieces(self, kind: str, frames: list[bytes]) -> None:
        """Keep them; a call brings one at least, as a relay needs."""
        assert frames
        self.heard += [(kind, frame) for frame in frames]
        self.short += len(frames)

    def ended(self, fault: TurnFault) -> None:
        """Keep it."""
        self.fault = fault


class Owner:
    """Keeps nothing."""

    def ended(self, connection: Connection, dead: list[Head], reason: Whole) -> None:
        """Nothing to do."""

    def works(self, connection: Connection) -> None:
        """Nothing to do."""

    def room(self) -> None:
        """Nothing to do."""


class Streaming:
    """A connection on which one turn, or two on lanes of their own, have begun to stream."""

    def __init__(self, *, named: bool) -> None:
        self.ends = Ends()
        self.lanes = Lanes(1, named=named, clock=time.monotonic)
        host = Host(Capabilities(), recheck_seconds=1, clock=time.monotonic)
        self.tasks = Tasks()
        self.connection = Connection(
            self.ends.socket,
            PoolKey(b"k", ()),
            host,
            self.lanes,
            settings=Settings(),
            expires=math.inf,
            tasks=self.tasks,
            owner=Owner(),
        )
        self.turns: dict[str | None, Turn] = {}
        self.leases: list[Lease] = []

    async def begin(self, turns: int) -> "Streaming":
        """Have so many turns begin."""
        await asyncio.sleep(0)
        for _ in range(turns):
            lane = self.lanes.spare()
            assert lane is not None
            lease = self.connection.lease(lane)
            lease.begin()
            turn = self.turns[lane.name] = Turn()
            self.leases.append(lease)
            lease.listen(turn)
            self.hear(said("response.created", lane.name))
            turn.heard.clear()
        return self

    def hear(self, *frames: bytes, cuts: tuple[int, ...] = ()) -> None:
        """Have the host say these, in reads that are cut so."""
        for frame in frames:
            self.ends.host.send_text(frame)
        self.ends.hear(self.ends.said(), cuts)


def said(kind: str, lane: str | None, text: str = "x", *, first: bool = False) -> bytes:
    """An event that names its lane last, or right behind its type."""
    name = {} if lane is None else {"stream_id": lane}
    fields = {"type": kind, **name, "delta": text} if first else {"type": kind, "delta": text, **name}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(TYPES),
            st.integers(0, 1),
            st.sampled_from(["x", "é", "\n", ',"stream_id":"l1"}', ""]),
            st.booleans(),
            st.integers(1, 4),
        ),
        max_size=10,
    ),
    st.lists(st.integers(0, 2_000), max_size=20),
    st.booleans(),
)
def test_each_turn_hears_its_own(
    script: list[tuple[str, int, str, bool, int]],
    cuts: list[int],
    named: bool,  # noqa: FBT001 - hypothesis takes it by place
) -> None:
    """With two lanes or none, whatever each read brings: a turn gets all its events, in order, without a name."""

    async def run() -> None:
        streaming = await Streaming(named=named).begin(2 if named else 1)
        lanes = list(streaming.turns)
        frames: list[bytes] = []
        expected: dict[str | None, list[tuple[str, bytes]]] = {lane: [] for lane in lanes}
        for kind, which, text, first, times in script:
            lane = lanes[which % len(lanes)]
            frame = said(kind, lane, text, first=first)
            event = sniff(frame) if lane is None else unnamed(sniff(frame), lane)
            frames += [frame] * times
            expected[lane] += [(kind, event.frame)] * times
        streaming.hear(*frames, cuts=tuple(cuts))
        assert {lane: turn.heard for lane, turn in streaming.turns.items()} == expected
        await streaming.tasks.close()

    asyncio.run(run())


@pytest.mark.parametrize("named", [True, False])
async def test_most_go_the_short_way(named: bool) -> None:  # noqa: FBT001 - a parameter
    """Of a hundred reads with a piece each all but the first are passed unread."""
    streaming = await Streaming(named=named).begin(1)
    (name,) = streaming.turns
    for number in range(100):
        streaming.hear(said("response.output_text.delta", name, str(number)))
    assert (streaming.turns[name].short, len(streaming.turns[name].heard)) == (99, 100)
    await streaming.tasks.close()


async def test_a_turn_that_does_not_listen_gets_nothing_the_short_way() -> None:
    """What comes meanwhile waits for it."""
    streaming = await Streaming(named=True).begin(1)
    piece = said("response.output_text.delta", "l1")
    streaming.hear(piece)
    streaming.leases[0].listen(None)
    streaming.hear(piece)
    streaming.hear(piece)
    assert len(streaming.turns["l1"].heard) == 1
    assert [event.events for event in await streaming.leases[0].batch(1)] == [1, 1]
    await streaming.tasks.close()


@pytest.mark.parametrize("named", [True, False])
async def test_what_is_no_text_ends_the_line_amid_pieces(named: bool) -> None:  # noqa: FBT001 - a parameter
    """What came before it is passed, nothing of it is, and the read that brought it raises nothing."""
    streaming = await Streaming(named=named).begin(1)
    (name,) = streaming.turns
    piece = said("response.output_text.delta", name)
    streaming.hear(piece)
    streaming.hear(piece.replace(b'"x"', b'"\xff"'))
    assert len(streaming.turns[name].heard) == 1
    assert streaming.ends.wire.aborted
    await streaming.tasks.close()


async def test_what_names_a_lane_where_none_has_a_name_is_nobodys() -> None:
    """On a line of one lane too: it is not passed among pieces that name none, by either way, and ends the line."""
    for frames in ([b"of nobody"], [b"more", b"of nobody", b"more"]):
        streaming = await Streaming(named=False).begin(1)
        piece = said("response.output_text.delta", None)
        streaming.hear(piece)
        named = said("response.output_text.delta", "l9", "not for you")
        streaming.hear(*[named if frame == b"of nobody" else piece for frame in frames])
        turn = streaming.turns[None]
        assert all(b"not for you" not in frame for _, frame in turn.heard)
        assert turn.fault is not None
        await streaming.tasks.close()


def test_only_events_that_pass_have_a_short_way() -> None:
    """What a turn must read is never taken for more of the same; nor what names its lane in an odd place."""
    lanes = Lanes(1, named=True, clock=float)
    lane = lanes.spare()
    assert lane is not None
    lease = Lease.__new__(Lease)
    odd = b'{"type":"response.output_text.delta","delta":"","stream_id":"l1","more":1}'
    assert pieces(sniff(said("response.created", "l1")), lane, lease) is None
    assert pieces(sniff(odd), lane, lease) is None
    assert pieces(sniff(said("response.output_text.delta", "l1")), lane, lease) is not None
    assert sniff(odd).kind is Kind.PASS
