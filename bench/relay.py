"""The benchmark `relay`: what an event costs on its way through, in time of a core, beside what must be paid anyway."""

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import trustme

from bench.plan import Plan
from bench.process import BenchError
from bench.result import Figures, Result, counted
from bench.rivals import Open, Rival, compiled, floor, has_nginx, hose, nginx, openline
from bench.shown import Show
from bench.taker import opened, request, take, take_all

_BODY = msgspec.json.encode(
    {"model": "m", "store": False, "stream": True, "input": [{"role": "user", "content": "Say many words."}]}
)
_TURNS = 4
_STREAMS = (1, 4, 8, 16)


class Relayed(Figures, frozen=True, kw_only=True):
    """One rival under one condition: the least of several runs, as whatever disturbs one only adds to it."""

    rival: str
    streams: int
    events: int
    microseconds: float
    """Of a core, for each event."""
    runs: list[float]
    of_floor: float
    """As a multiple of the floor's in the same run; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How events come."""

    name: str
    streams: int = 1
    options: tuple[str, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)
    scheme: str = "http"
    """Of the upstream."""
    rivals: tuple[str, ...] = ("floor", "openline", "nginx")

    @property
    def paced(self) -> bool:
        """Whether they come at a pace."""
        return "--pace" in self.options


async def relay(plan: Plan, show: Show) -> Result:
    """In clumps, compressed, over TLS, and paced on so many streams."""
    with tempfile.TemporaryDirectory(prefix="openline-bench-") as folder:
        home = Path(folder)
        there = {"openline"} | ({"floor"} if await compiled(home) else set()) | ({"nginx"} if has_nginx() else set())
        figures: list[Relayed] = []
        for condition in _conditions(plan, home):
            names = [name for name in condition.rivals if name in there]
            runs: dict[str, list[float]] = {name: [] for name in names}
            with show(f"relay, {condition.name}", plan.relay_repeats * len(names)) as tick:
                for number in range(plan.relay_repeats):
                    for place, name in enumerate(names):
                        runs[name].append(await _measured(home, name, condition, plan))
                        tick(number * len(names) + place + 1, 0)
            figures += _figures(condition, runs, plan)
    return told(plan, figures, sorted({"floor", "nginx"} - there))


def told(plan: Plan, figures: Sequence[Relayed], missing: Sequence[str]) -> Result:
    """Their table."""
    what = (
        f"events of 290 B: {plan.relay_pieces:,} as fast as they are taken, or {plan.relay_pace:g} a second on each"
        f" stream; time of a core for each, the least of {plan.relay_repeats} runs"
    )
    if missing:
        what += f" ({' and '.join(missing)}: not here)"
    heading = ["", "by", "an event", "of the floor", "errors"]
    rows = [
        [
            one.conditions,
            one.rival,
            f"{one.microseconds:.2f} µs",
            f"{one.of_floor:.1f} times" if one.of_floor else "-",
            counted(one.errors),
        ]
        for one in figures
    ]
    return Result("relay", what, figures, [heading, *rows])


def _conditions(plan: Plan, home: Path) -> list[Condition]:
    certificate, authority = _certified(home)
    pieces = ("--pieces", str(plan.relay_pieces))
    plain: dict[str, object] = {"UPSTREAM__COMPRESSION": "false"}
    paced = ("--pieces", str(plan.relay_paced), "--pace", str(plan.relay_pace))
    return [
        Condition("in clumps", options=pieces, settings=plain),
        Condition(
            "in clumps, over TLS",
            options=(*pieces, "--certificate", str(certificate)),
            settings={**plain, "UPSTREAM__CA_FILE": str(authority)},
            scheme="https",
            rivals=("openline", "nginx"),
        ),
        Condition("in clumps, compressed", options=(*pieces, "--deflate"), rivals=("openline",)),
        *(
            Condition(f"paced, {streams} at once", streams, (*paced, "--streams", str(streams)), plain)
            for streams in _STREAMS
        ),
    ]


def _certified(home: Path) -> tuple[Path, Path]:
    """A certificate for this machine with its key, and the authority that issued it."""
    authority, certificate = home / "authority.pem", home / "certificate.pem"
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(str(authority))
    issuer.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return certificate, authority


async def _measured(home: Path, name: str, condition: Condition, plan: Plan) -> float:
    """One run: microseconds of a core for an event."""
    async with hose(home, *condition.options) as upstream, _rival(name, condition)(home, upstream.port) as rival:
        return await asyncio.to_thread(_paced if condition.paced else _clumps, rival, condition, plan)


def _rival(name: str, condition: Condition) -> Open:
    if name == "openline":
        return openline(condition.settings, scheme=condition.scheme)
    if name == "nginx":
        return lambda home, port: nginx(home, port, scheme=condition.scheme)
    return floor


def _clumps(rival: Rival, _condition: Condition, plan: Plan) -> float:
    sent = request(rival.port, _BODY)
    with opened(rival.port) as line:
        if not take(line, sent).ok:
            raise BenchError(f"relay: {rival.name} gave no stream")
        before = rival.cpu()
        for _ in range(_TURNS):
            take(line, sent)
        return (rival.cpu() - before) / (_TURNS * plan.relay_pieces) * 1e6


def _paced(rival: Rival, condition: Condition, plan: Plan) -> float:
    with contextlib.ExitStack() as lines:
        callers = [lines.enter_context(opened(rival.port)) for _ in range(condition.streams)]
        before = rival.cpu()
        take_all(callers, request(rival.port, _BODY))
        return (rival.cpu() - before) / (condition.streams * plan.relay_paced) * 1e6


def _figures(condition: Condition, runs: dict[str, list[float]], plan: Plan) -> list[Relayed]:
    least = {name: min(some) for name, some in runs.items()}
    return [
        Relayed(
            conditions=condition.name,
            errors={},
            rival=name,
            streams=condition.streams,
            events=plan.relay_paced if condition.paced else plan.relay_pieces,
            microseconds=least[name],
            runs=runs[name],
            of_floor=least[name] / least["floor"] if "floor" in least else 0.0,
        )
        for name in least
    ]
