"""What comes before a create was written is never taken for its answer, and a host's greeting does no harm."""

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol

from proxy.config import Pool
from proxy.core.reasons import Plain, Route
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from tests.turns.doorman import Doorman
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import Peer, completed, created, event, patience, said, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")
GREETING = event("session.created", session={"id": "s"})


class Hasty(Doorman):
    """Accepts an upgrade and says something in the same segment."""

    def __init__(self, *frames: bytes) -> None:
        super().__init__(1000)
        self._frames = frames

    def _turned_away(self, head: bytes) -> bytes:
        protocol = ServerProtocol()
        protocol.receive_data(head)
        (request,) = protocol.events_received()
        if isinstance(request, Request):
            protocol.send_response(protocol.accept(request))
        for frame in self._frames:
            protocol.send_text(frame)
        return b"".join(protocol.data_to_send())


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_nobody_asked_for(stream: bool) -> None:  # noqa: FBT001
    """A whole answer behind the upgrade is not the turn's: two such lines are given up, and plain HTTP answers."""
    async with Hasty(created("resp_stray"), completed("resp_stray")) as host, Wiring(on(host.base)) as wiring:
        turn = wiring.turn(stream=stream)
        sink = Recorder(wants_json=not stream)
        await soon(wiring.turns.run(turn, sink))
        assert (sink.answers[0].body, sink.events) == (b'{"ok":true}', [])
        assert (turn.outcome.route, turn.outcome.reason, host.upgrades) == (Route.HTTP, Plain.LINE_LOST, 2)


async def test_a_frame_that_crosses_the_next_create(peer: Peer) -> None:
    """A frame that came on an idle line just before the create is written is no answer to it: the line is lost."""
    async with Wiring(on(peer.base)) as wiring:
        lease = await soon(wiring.pool.lease(wiring.turn().key, patience()))
        stray = event("response.created", response={"id": "resp_stray"})
        [connection] = wiring.pool._numbered.values()
        connection._socket.data_received(bytes([0x81, len(stray)]) + stray)
        with pytest.raises(TurnFault) as caught:
            await soon(lease.send(b'{"type":"response.create"}', None, None))
        assert caught.value.fault is Fault.LINE_LOST
        wiring.pool.give_back(lease)


@pytest.mark.parametrize("lanes", ["on", "off"])
async def test_a_greeting_is_dropped(peer: Peer, lanes: str) -> None:
    """What a host says of itself before its first answer is no turn's; it says nothing against lanes either."""
    async with Wiring(on(peer.base, lanes=lanes)) as wiring:
        turn = wiring.turn(stream=True)
        running = wiring.run(turn, sink := Recorder())
        line = await peer.line()
        await line.send(GREETING)
        lane = str((await line.frame()).get("stream_id", ""))
        await line.send(GREETING, *(said(stream_id=lane) if lane else said()))
        await soon(running)
        assert sink.types[0] == "response.created"
        assert "session.created" not in sink.types
        assert wiring.host.has_lanes is (lanes == "on")
        assert wiring.pool.open_connections == 1


async def test_later_an_unknown_event_belongs_to_its_turn(peer: Peer) -> None:
    """Once a response has begun on the line, an event of another kind is passed on as it is."""
    async with Wiring(on(peer.base)) as wiring:
        sink, _ = await wiring.exchange(wiring.turn(stream=True), peer, created(), GREETING, *said()[1:])
        assert "session.created" in sink.types


async def test_a_greeting_alone_proves_nothing() -> None:
    """A host that greets and then hangs up is one whose lines come to nothing: the breaker opens."""
    async with Hasty(GREETING) as host:
        settings = on(host.base, pool=Pool(breaker_failures=1))
        async with Wiring(settings) as wiring:
            lease = await soon(wiring.pool.lease(wiring.turn().key, patience()))
            await lease.send(b'{"type":"response.create"}\r\n\r\n', None, None)
            [connection] = wiring.pool._numbered.values()
            await until(lambda: connection._silence.heard > 0)
            connection._socket.transport.abort()
            await until(lambda: wiring.pool.open_connections == 0)
            assert wiring.pool.status().breakers.open == 1
            assert len(wiring.notices) == 1
            wiring.pool.give_back(lease)
