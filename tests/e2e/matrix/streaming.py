"""Mishaps of a turn on its way: before the first event, between events, at the last one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from proxy.config import Lanes, Timeouts, Upstream
from proxy.core.recovery import Fact, Fault
from proxy.simulator import Behaviour
from proxy.simulator import Fault as Strike
from proxy.simulator.faults import What, Where
from tests.e2e.matrix.gate import Meddling
from tests.e2e.matrix.mishap import (
    FRAME_LIMIT,
    SHORT,
    Do,
    Mishap,
    Place,
    Scene,
    Shapes,
    Step,
    settings,
    streaming,
    unsent,
)
from tests.e2e.matrix.mishap import written as sent

BOTH: tuple[Lanes, ...] = ("off", "on")
NAMED: tuple[Lanes, ...] = ("on",)
PLACES: tuple[tuple[Place, Where, int], ...] = (
    (Place.START, "start", 0),
    (Place.EVENTS, "events", 1),
    (Place.EVENTS, "events", 4),
    (Place.TERMINAL, "terminal", 0),
)
CLOSES = (1001, 1008, 1011, 1012, 1013, 3000, 4000)
"""1009 is another fault; 1005 and 1006 cannot be sent."""
SHAPES: Mapping[tuple[Where, int], Shapes] = {("start", 0): "all", ("events", 4): "all", ("terminal", 0): "plain"}
"""Elsewhere it is a variant."""
NOISE: tuple[What, ...] = ("garbage", "binary", "foreign_lane")
_QUICK = settings(timeouts=Timeouts(first_event_seconds=SHORT, silence_seconds=SHORT))
_MIB = 1_048_576


def _text(payload: bytes) -> bytes:
    """A short text frame."""
    return bytes([0x81, len(payload)]) + payload


def _step(where: Where, fault: Fault) -> Step:
    return sent(fault) if where == "start" else streaming(fault)


def _shapes(where: Where, after: int) -> Shapes:
    return SHAPES.get((where, after), "few")


def _lanes(where: Where) -> tuple[Lanes, ...]:
    return ("off",) if where == "terminal" else BOTH


def _at(where: Where, after: int) -> str:
    return f" after {after}" if where == "events" else ""


def lines() -> Iterator[Mishap]:
    """The line is lost: reset, closed in order, at its age limit, or dead without a word."""
    for place, where, after in PLACES:
        at, lost = _at(where, after), _step(where, Fault.LINE_LOST)
        limit = _step(where, Fault.CONNECTION_LIMIT) if where == "start" else lost
        too_big = _step(where, Fault.OVERSIZE) if where == "start" else lost
        shapes = _shapes(where, after)
        for name, step, strike, how in (
            ("reset", lost, Strike("abort", where, after), shapes),
            ("age limit", limit, Strike("age_limit", where, after), shapes),
            ("close 1009", too_big, Strike("close", where, after, close_code=1009), shapes),
            ("close 1000", lost, Strike("close", where, after, close_code=1000), shapes),
            *((f"close {code}", lost, Strike("close", where, after, close_code=code), "few") for code in CLOSES),
        ):
            yield Mishap(name + at, place, (step,), (strike,), lanes=_lanes(where), shapes=how, settings=settings())


def bytes_() -> Iterator[Mishap]:
    """What no WebSocket server says, and lines that end within a frame: the line is lost."""
    for place, after in ((Place.START, 0), (Place.EVENTS, 2)):
        step = (sent if after == 0 else streaming)(Fault.LINE_LOST)
        for name, meddling in (
            ("end of the TCP stream", Meddling(after, then="end")),
            ("end within a frame", Meddling(after, part=0.5, then="end")),
            ("reset within a frame", Meddling(after, part=0.5, then="reset")),
            ("frame of 1 TiB announced", Meddling(after, b"\x81\x7f" + (2**40).to_bytes(8, "big"))),
            ("unknown opcode", Meddling(after, b"\x83\x00")),
            ("masked frame", Meddling(after, b"\x81\x81\x00\x00\x00\x00{")),
            ("text that is no UTF-8", Meddling(after, b"\x81\x01\xff")),
            ("continuation of nothing", Meddling(after, b"\x80\x00")),
            ("close of one byte", Meddling(after, b"\x88\x01\x03")),
        ):
            yield Mishap(name, place, (step,), do=_meddle(meddling), settings=settings(), shapes="few")
        patient = settings(timeouts=Timeouts(first_event_seconds=2.0, silence_seconds=2.0))
        stuck = _meddle(Meddling(after, b"\x83\x00", then="freeze"))
        name = "protocol error of a peer that hangs"
        yield Mishap(name, place, (step,), do=stuck, settings=patient, shapes="few")
        for name, raw in (("ping", b"\x89\x01p"), ("unasked pong", b"\x8a\x01p")):
            yield Mishap(name, place, do=_meddle(Meddling(after, raw)), settings=settings(), shapes="few")


def errors() -> Iterator[Mishap]:
    """An error in place of the first event, in every shape; in mid-stream it is as over plain HTTP."""
    for status, code in ((400, "invalid_prompt"), (401, "invalid_api_key"), (429, "rate_limit_exceeded"), (503, None)):
        said = {"status": status, "code": code, "message": "Sorry.", "headers": {"retry-after": "7"}}
        for place, where, after in PLACES:
            yield Mishap(
                f"error {status}{_at(where, after)}",
                place,
                (sent(Fault.REJECTED),) if where == "start" else (),
                (Strike("error", where, after, **said),),  # type: ignore[arg-type] # checked by Strike
                settings=settings(),
                as_http=where != "start",
                outlived=status in {429, 503},
                also=(Fact.STORED,) if where == "start" else (),
                lanes=_lanes(where),
                shapes=_shapes(where, after) if status in {400, 429} else "few",
            )
    for shape, omits in (("wrapped", {"status"}), ("flat", set()), ("text", set()), ("wrapped", {"headers", "type"})):
        strike = Strike("error", "start", status=500, code="server_error", message="Sorry.")
        yield Mishap(
            f"error, {shape} without {', '.join(sorted(omits)) or 'nothing missing'}",
            Place.START,
            (sent(Fault.REJECTED),),
            (strike,),
            settings=settings(),
            behaviour=Behaviour(error_shape=shape, error_omits=frozenset(omits)),  # type: ignore[arg-type] # a literal
            vague=shape == "text",
            shapes="few",
        )


def endings() -> Iterator[Mishap]:
    """A response that fails or stops short is passed on as it is."""
    kinds: tuple[What, ...] = ("failed", "incomplete")
    for place, where, after in PLACES:
        for what in kinds:
            strike = Strike(what, where, after)
            yield Mishap(f"{what}{_at(where, after)}", place, (), (strike,), settings=settings(), as_http=True)


def noise() -> Iterator[Mishap]:
    """Frames that are no event of this turn."""
    for place, where, after in PLACES:
        for what in NOISE:
            strike = Strike(what, where, after)
            garbage = (_step(where, Fault.GARBAGE),)
            known = Mishap(f"{what}{_at(where, after)}", place, garbage, (strike,), settings=settings())
            yield replace(known, lanes=_lanes(where), shapes=_shapes(where, after))
        strays: tuple[tuple[What, int], ...] = (("stray", 1), ("oversized", 2 * _MIB))
        for what, size in strays:
            strike = Strike(what, where, after, size=size)
            shapes = _shapes(where, after)
            known = Mishap(f"{what}{_at(where, after)}", place, (), (strike,), settings=settings(), shapes=shapes)
            # Without lanes nothing tells an event of nobody from one of this turn: it is passed on, as HTTP would.
            yield known
            if where == "start":
                # No name was heard yet: the host seems to have no lanes, until it names one.
                yield replace(known, steps=(streaming(Fault.GARBAGE),), lanes=NAMED, later=False, unbegun=True)
                yield replace(known, steps=(sent(Fault.GARBAGE),), lanes=NAMED, first=False)
            else:
                yield replace(known, steps=(streaming(Fault.GARBAGE),), lanes=NAMED)


def unreadable() -> Iterator[Mishap]:
    """Events of this turn that say nothing that can be read."""
    step = (streaming(Fault.GARBAGE),)
    begun = _meddle(Meddling(2, _text(b'{"type":"response.in_progress","response":')))
    yield Mishap("half an event", Place.EVENTS, step, do=begun, settings=settings())
    ended = _meddle(Meddling(2, _text(b'{"type":"response.completed"}'), then="end"))
    yield Mishap("an end without a response", Place.TERMINAL, step, do=ended, settings=settings(), stream=False)


def silence() -> Iterator[Mishap]:
    """Nothing comes any more; or nothing for a while."""
    for place, where, after in PLACES:
        steps = (_step(where, Fault.SILENCE),)
        strike = Strike("hang", where, after)
        known = Mishap(f"hang{_at(where, after)}", place, steps, (strike,), settings=_QUICK)
        yield replace(known, lanes=_lanes(where), shapes=_shapes(where, after))
        strike = Strike("delay", where, after, seconds=0.02)
        yield Mishap(f"delay{_at(where, after)}", place, (), (strike,), settings=settings(), shapes="few")


def forgotten() -> Iterator[Mishap]:
    """The host loses what it remembered."""
    not_found, forget = (sent(Fault.NOT_FOUND),), Strike("forget", "start")
    for status in (400, 404):
        for shape in ("wrapped", "flat"):
            behaviour = Behaviour(not_found_status=status, error_shape=shape)
            name = f"forgotten, {status} {shape}"
            known = Mishap(name, Place.START, not_found, (forget,), settings=settings(), behaviour=behaviour)
            known = replace(known, also=(Fact.STORED,))
            yield replace(known, first=False, lanes=BOTH, shapes="all" if status == 400 else "few")
    yield Mishap("forgotten", Place.START, (), (forget,), settings=settings(), later=False, lanes=BOTH)
    for place, where, after in PLACES[1:]:
        strike = Strike("forget", where, after)
        yield Mishap(f"forgotten{_at(where, after)}", place, (), (strike,), settings=settings())


def lanes() -> Iterator[Mishap]:
    """The host knows no lanes, or has none left."""
    refused = (sent(Fault.NO_LANES),)
    yield Mishap(
        "no lanes here",
        Place.START,
        refused,
        settings=settings(),
        behaviour=Behaviour(lanes=False),
        later=False,
        lanes=NAMED,
    )
    used_up = Strike("error", "start", status=400, code="websocket_stream_limit_reached", message="Too many streams.")
    yield Mishap("lanes used up", Place.START, refused, (used_up,), settings=settings(), lanes=NAMED)


def oversize() -> Iterator[Mishap]:
    """A create that is larger than the host takes."""
    yield Mishap(
        "over the known limit",
        Place.START,
        (unsent(Fault.OVERSIZE),),
        settings=settings(upstream=Upstream(frame_limit_bytes=FRAME_LIMIT)),
        long=True,
        lasts=True,
        lanes=BOTH,
    )
    yield Mishap(
        "over an unknown limit",
        Place.START,
        (sent(Fault.OVERSIZE, arrives=False),),
        settings=settings(upstream=Upstream(compression=False)),
        behaviour=Behaviour(frame_limit=FRAME_LIMIT),
        long=True,
        lasts=True,
        lanes=BOTH,
    )


def mishaps() -> Iterator[Mishap]:
    """All of them."""
    for some in (*(lines, bytes_, errors, endings, noise, unreadable, silence, forgotten, lanes, oversize),):
        yield from some()


def _meddle(meddling: Meddling) -> Do:
    async def do(scene: Scene) -> None:
        scene.gate.meddling = meddling

    return do
