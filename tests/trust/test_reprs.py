"""Objects: nothing private is in the repr or str of what a running turn holds, nor in our exceptions' traces."""

import gc
import traceback
from collections.abc import Iterator
from types import FrameType, FunctionType, MethodType, ModuleType

import aiohttp
import msgspec
import pytest

from proxy.config import Settings
from proxy.config import Upstream as Target
from proxy.core.answer import Answer as Said
from proxy.core.coding import NotDecodable, TooLarge
from proxy.core.events import NotAnEvent, sniff
from proxy.core.recovery import Fault as Cause
from proxy.core.request import NotPlain, parse
from proxy.core.spans import NotJson
from proxy.errors import Answer, Problem, Refused, TurnFault
from proxy.server.app import Openline
from proxy.server.body import decode
from proxy.server.handler import Handler
from proxy.tasks import Tasks
from tests.fuzz.upstream import Cut, Upstream
from tests.trust.markers import HEADERS, MARKERS, TEXTS, found
from tests.trust.session import CREDENTIALS, Quoting, asking
from tests.upstream.peer import until

_DEEPEST = 12
# What is no object of a turn's, or leads from it into all the rest of the process.
_ELSEWHERE = (type, ModuleType, FunctionType, FrameType, MethodType)


def reachable(start: object) -> Iterator[object]:
    """What can be reached from an object through what it holds, itself first."""
    seen: set[int] = set()
    level = [start]
    for _ in range(_DEEPEST):
        following: list[object] = []
        for one in level:
            if id(one) in seen or isinstance(one, _ELSEWHERE):
                continue
            seen.add(id(one))
            yield one
            following += gc.get_referents(one)
        level = following


def ours(one: object) -> bool:
    """Whether it is an object of a class of the proxy's, the values of the standard library and others left out."""
    return type(one).__module__.startswith("proxy.") and not type(one).__module__.startswith("proxy.simulator")


async def test_no_object_of_a_running_turn_shows_what_is_private() -> None:
    """In mid-answer, the repr and str of every object that can be reached from the handler hold no marker."""
    quoting = Quoting()
    upstream = Upstream(quoting.answer, lambda _create: [Cut("silence")])
    tasks = Tasks()
    async with upstream.serving() as url, aiohttp.ClientSession() as session:
        app = Openline(
            Settings(listen="127.0.0.1:0", upstream=Target(url=url, verifies_ids="yes")), lambda _outcome: None
        )
        base = await app.start()
        bodies = [asking("hang", stream=True), asking("go on", stream=False)]
        for body, more in zip(bodies, ({}, {"Cookie": HEADERS["cookie"]}), strict=True):
            headers = {**CREDENTIALS, **more}
            tasks.start(
                asked(
                    session,
                    f"{base}/responses?token={HEADERS['query']}" if more else f"{base}/responses",
                    body,
                    headers,
                ),
                "caller",
            )
        await until(lambda: len(upstream.creates) == 2 and any(said(one) for one in held()))
        mine = {id(one): one for one in held() if ours(one)}.values()
        kinds = {type(one).__name__ for one in mine}
        # The search is of use only where the turn was found with all that it holds.
        assert {
            "Turn",
            "Outcome",
            "PoolKey",
            "HttpRequest",
            "CreateRequest",
            "Settings",
            "HttpSink",
            "Relay",
            "Event",
        } <= kinds
        shown = {f"{type(one).__name__}: {one!r} {one!s}" for one in mine}
        assert [text[:2_000] for text in shown if found(text.encode())] == []
        await tasks.close()
        await app.close()


async def asked(session: aiohttp.ClientSession, url: str, body: dict[str, object], headers: dict[str, str]) -> None:
    """A create that is not answered to its end."""
    async with session.post(url, data=msgspec.json.encode(body), headers=headers) as response:
        await response.read()


def held() -> list[object]:
    """All that the handler's running calls hold."""
    frames = [frame for one in gc.get_objects() if is_handling(one) for frame in frames_of(one)]
    return [one for frame in frames for local in frame.f_locals.values() for one in reachable(local)]


def said(one: object) -> bool:
    """Whether it is an answer of which an item is there."""
    return isinstance(one, Said) and bool(one.done)


def is_handling(one: object) -> bool:
    """Whether it is a coroutine of the handler's that runs."""
    return type(one).__name__ == "coroutine" and getattr(one, "__qualname__", "") == Handler.__call__.__qualname__


def frames_of(one: object) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, down to what it waits for."""
    while one is not None:
        frame = getattr(one, "cr_frame", None)
        if frame is None:
            return
        yield frame
        one = getattr(one, "cr_await", None)


ALL = " ".join(MARKERS.values())
BODY = msgspec.json.encode(asking("go on", stream=True))


def raised() -> list[Exception]:
    """Our exceptions, as they come from what is private."""
    problem = Answer(400, ALL.encode(), {"x-quoted": ALL})
    caught: list[Exception] = [
        TurnFault(Cause.REJECTED, "the upstream answered with 400", problem),
        Refused(Problem.HOST),
    ]
    wrong: list[tuple[type[Exception], object]] = [
        (NotPlain, lambda: parse(ALL.encode(), most_items=1)),
        (NotPlain, lambda: parse(BODY[:-40], most_items=100)),
        (NotPlain, lambda: parse(BODY.replace(b'"store"', b'"model"'), most_items=100)),
        (NotAnEvent, lambda: sniff(ALL.encode())),
        (NotAnEvent, lambda: sniff(msgspec.json.encode([ALL]))),
        (NotDecodable, lambda: decode(ALL.encode(), "gzip", 1_000)),
        (TooLarge, lambda: decode(b"\x1f\x8b", "identity", 1)),
    ]
    for kind, act in wrong:
        try:
            act()  # type: ignore[operator] # a list of calls
        except kind as error:
            caught.append(error)
        except NotJson as error:
            caught.append(error)
    return caught


@pytest.mark.parametrize("error", raised(), ids=lambda error: type(error).__name__)
def test_our_exceptions_say_nothing_private(error: Exception) -> None:
    """Neither an exception of ours, nor those that it came from, nor their traces quote a text that was read."""
    chain: BaseException | None = error
    while chain is not None:
        assert found(f"{chain!r} {chain!s}".encode()) == [], repr(chain)
        chain = chain.__cause__ or chain.__context__
    told = "".join(traceback.TracebackException.from_exception(error).format())
    assert found(told.encode()) == []


def fail(held: dict[str, object]) -> None:
    """Raise a fault of ours over local variables with everything in them."""
    raise TurnFault(Cause.LINE_LOST, f"a line was lost over {len(held)} values")


def test_values_that_hold_texts_hide_them() -> None:
    """With the local variables in a trace (capture_locals), our own values still show no body, header or frame."""
    create = parse(BODY, most_items=100)
    event = sniff(msgspec.json.encode({"type": "response.output_text.delta", "delta": TEXTS["answer"]}))
    held = {"create": create, "event": event, "answer": Answer(400, ALL.encode(), {"x-quoted": ALL})}
    with pytest.raises(TurnFault) as caught:
        fail(held)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    told = [
        value for summary in trace.stack for name, value in (summary.locals or {}).items() if name in {"held", *held}
    ]
    assert told
    assert found("".join(told).encode()) == []
