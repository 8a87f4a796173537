"""Mishaps of dialling: nobody there, nothing said, nonsense said, every refusal, and what keeps from dialling."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, repeat

from proxy.config import Pool, Timeouts
from proxy.core.recovery import Fact, Fault
from proxy.simulator import Behaviour
from proxy.simulator import Fault as Strike
from tests.e2e.matrix.gate import CLOSE, Meddling, accepting, saying
from tests.e2e.matrix.mishap import DETOUR, DIAL, Do, Mishap, Place, Scene, Step, settings, unsent
from tests.e2e.stack import chat
from tests.upstream.peer import until

# A TLS record that no client understands.
NO_TLS = b"HTTP/1.1 400 Bad Request\r\n\r\n"
MEANS = {
    **dict.fromkeys((404, 405, 426), Fault.NO_WEBSOCKET),
    **dict.fromkeys((401, 403), Fault.UPGRADE_FORBIDDEN),
    429: Fault.UPGRADE_REFUSED,
    **dict.fromkeys((400, 407, 408, 500, 502, 503, 504), Fault.DIAL_FAILED),
}
"""The statuses of a refused upgrade, and which fault each is."""


def _steps(fault: Fault, times: int) -> tuple[Step, ...]:
    return tuple(islice(repeat(unsent(fault)), times))


def refusals() -> Iterator[Mishap]:
    """Every status; where one more dial is tried, also twice."""
    for status, fault in MEANS.items():
        for times in (1, 2) if fault is Fault.DIAL_FAILED else (1,):
            said = {"status": status, "code": "no_way", "message": "Not now.", "headers": {"retry-after": "7"}}
            yield Mishap(
                f"status {status}" + " twice" * (times == 2),
                Place.DIALLING,
                _steps(fault, times),
                (Strike("refuse", "upgrade", times=times, **said),),  # type: ignore[arg-type] # checked by Strike
                spoken=Strike("error", "start", transport="http", **said),  # type: ignore[arg-type] # same
                offline=True,
                settings=settings(),
                shapes="all" if status in {404, 401, 429, 503} else "few",
            )


def redirects() -> Iterator[Mishap]:
    """They lead to where the upgrade would go well, and are not followed: another could take the credential away."""
    for times in (1, 2):
        do, steps = _redirect(times), _steps(Fault.DIAL_FAILED, times)
        name = "status 302" + " twice" * (times == 2)
        yield Mishap(name, Place.DIALLING, steps, do=do, settings=settings(), offline=True, shapes="few")


def failures() -> Iterator[Mishap]:
    """Dials that come to nothing: once, and the next one goes well; or twice."""
    for times in (1, 2):
        many = " twice" * (times == 2)
        steps = _steps(Fault.DIAL_FAILED, times)
        quick = settings(timeouts=Timeouts(dial_seconds=DIAL))
        for name, strike in (
            ("reset", Strike("abort", "upgrade", times=times)),
            ("closed", Strike("close", "upgrade", times=times)),
        ):
            yield Mishap(name + many, Place.DIALLING, steps, (strike,), settings=settings(), offline=True)
        yield Mishap(
            "black hole" + many,
            Place.DIALLING,
            steps,
            (Strike("hang", "upgrade", times=times),),
            settings=quick,
            offline=True,
        )
        for name, raw in (
            ("no HTTP", b"220 mail.example ESMTP\r\n\r\n"),
            ("an endless head", b"HTTP/1.1 101 Switching Protocols\r\nx: " + b"x" * 100_000),
            ("another protocol", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
            ("a plain 200", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ):
            do = _doors(raw, times)
            yield Mishap(name + many, Place.DIALLING, steps, do=do, settings=settings(), offline=True, shapes="few")
        yield Mishap(
            "TLS failure" + many, Place.DIALLING, steps, do=_greet(times), settings=settings(), offline=True, tls=True
        )
    yield Mishap(
        "a slow upgrade",
        Place.DIALLING,
        strikes=(Strike("delay", "upgrade", seconds=0.02),),
        settings=settings(),
        offline=True,
    )
    yield Mishap(
        "black hole until the time for detours is over",
        Place.DIALLING,
        (unsent(Fault.DIAL_FAILED, Fact.SPENT),),
        (Strike("hang", "upgrade"),),
        settings=settings(timeouts=Timeouts(detour_seconds=DETOUR)),
        offline=True,
        shapes="few",
    )


def outages() -> Iterator[Mishap]:
    """Plain HTTP does not get through either."""
    twice = _steps(Fault.DIAL_FAILED, 2)
    yield Mishap(
        "refused",
        Place.DIALLING,
        twice,
        do=_shut,
        mend=_open,
        settings=settings(),
        offline=True,
        unreachable=True,
    )
    yield Mishap(
        "TLS failure for all",
        Place.DIALLING,
        twice,
        do=_greet(9),
        settings=settings(),
        offline=True,
        unreachable=True,
        tls=True,
    )


def lost_at_once() -> Iterator[Mishap]:
    """The upgrade goes well, and with it comes the end of the line."""
    yield Mishap(
        "closed with the upgrade",
        Place.DIALLING,
        (unsent(Fault.LINE_LOST),),
        do=_doors(None, 1),
        settings=settings(),
        offline=True,
    )
    yield Mishap(
        "closed with the upgrade twice",
        Place.DIALLING,
        (unsent(Fault.LINE_LOST), unsent(Fault.LINE_LOST)),
        do=_doors(None, 2),
        settings=settings(),
        offline=True,
    )


def kept_from_dialling() -> Iterator[Mishap]:
    """The breaker, and a pool that is full."""
    yield Mishap(
        "breaker open",
        Place.DIALLING,
        (unsent(Fault.BREAKER_OPEN),),
        do=_break,
        settings=settings(pool=Pool(breaker_failures=2)),
        offline=True,
        lasts=True,
    )
    yield Mishap(
        "pool full",
        Place.DIALLING,
        (unsent(Fault.POOL_FULL),),
        do=_occupy,
        mend=_vacate,
        settings=settings(pool=Pool(max_connections=1, max_connections_per_key=1, wait_seconds=0.03)),
        behaviour=Behaviour(lanes=False),
        offline=True,
    )


def scarce() -> Iterator[Mishap]:
    """No descriptor is left: an idle socket of another caller gives way, if there is one."""
    step, spent = unsent(Fault.NO_DESCRIPTOR), unsent(Fault.NO_DESCRIPTOR, Fact.SPENT)
    impatient = settings(timeouts=Timeouts(detour_seconds=DETOUR))
    for name, steps, do, how in (
        ("for one dial", (step,), _make_do, settings()),
        ("at all", (step, step), _run_out, settings()),
        ("until the time for detours is over", (spent,), _wait_for_room, impatient),
    ):
        known = Mishap(f"no descriptor {name}", Place.DIALLING, steps, do=do, settings=how, offline=True)
        # Closing a dead line takes a second when all is over, too.
        yield replace(known, shapes="few" if do is _wait_for_room else "all")


def mishaps() -> Iterator[Mishap]:
    """All of them."""
    for some in (refusals, redirects, failures, outages, lost_at_once, kept_from_dialling, scarce):
        yield from some()


def _doors(raw: bytes | None, times: int) -> Do:
    async def do(scene: Scene) -> None:
        scene.gate.doorkeepers.extend(repeat(accepting(CLOSE) if raw is None else saying(raw), times))

    return do


def _redirect(times: int) -> Do:
    there = b"HTTP/1.1 302 Found\r\nLocation: /v1/responses\r\nContent-Length: 0\r\n\r\n"
    return _doors(there, times)


def _greet(times: int) -> Do:
    async def do(scene: Scene) -> None:
        scene.gate.greetings.extend(repeat(NO_TLS, times))
        scene.unseen_dials = min(times, 2)

    return do


async def _shut(scene: Scene) -> None:
    scene.unseen_dials = 2
    await scene.gate.shut()


async def _open(scene: Scene) -> None:
    await scene.gate.open()


async def _break(scene: Scene) -> None:
    """Another conversation's dials fail, until nothing is dialled any more."""
    scene.running.sim.faults.add(Strike("refuse", "upgrade", times=2))
    await scene.running.ask(chat("Another.").body)
    await scene.running.outcome()


async def _occupy(scene: Scene) -> None:
    """Another conversation has the only connection."""
    faults = scene.running.sim.faults
    struck = len(faults.struck)
    faults.add(Strike("hang", "start"))
    scene.tasks.start(scene.running.ask(chat("Another.").body), "another caller")
    await scene.running.sim.until(lambda: len(faults.struck) > struck)


async def _vacate(scene: Scene) -> None:
    scene.running.sim.faults.release()
    await scene.running.outcome()


async def _run_out(scene: Scene) -> None:
    """Plain HTTP has a connection that is open already, and so has the caller."""
    async with scene.running.session.get(f"{scene.running.base}/models", headers={"authorization": "Bearer k"}) as got:
        await got.read()
    await scene.running.outcome()
    scene.scarcity.begin()


async def _wait_for_room(scene: Scene) -> None:
    """Another caller's socket is to give way, but its line is dead: it takes its time."""
    await scene.running.ask(chat("Another.").body, key="another")
    await scene.running.outcome()
    scene.gate.now(Meddling(then="freeze"))
    await _run_out(scene)


async def _make_do(scene: Scene) -> None:
    """Another caller's socket is idle; when that has given way, there are descriptors again."""
    await scene.running.ask(chat("Another.").body, key="another")
    await scene.running.outcome()
    scene.scarcity.begin()
    scene.tasks.start(_when_gone(scene), "descriptors again")


async def _when_gone(scene: Scene) -> None:
    await until(lambda: scene.running.sim.connections == 0)
    scene.scarcity.end()
