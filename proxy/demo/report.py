"""The report: the figures of the two runs as a table, as JSON, and the sentence that says what they are worth."""

import statistics
from dataclasses import dataclass

import msgspec

from proxy.demo.measurement import Run
from proxy.simulator import Link
from proxy.telemetry.logs import duration, size

_ROW = "{:<26}{:<12}{:<18}{}"


class Figures(msgspec.Struct, frozen=True):
    """One run in numbers."""

    seconds: float
    first_event_p50_seconds: float
    up_bytes: int
    connections: int
    turns: int
    deltas: int
    http_turns: int


class Comparison(msgspec.Struct, frozen=True):
    """What `openline demo --json` prints. The ratios say how many times as much the direct run took."""

    emulated: bool
    conditions: str
    latency_seconds: float
    uplink_bytes_per_second: float
    model_seconds: float
    direct: Figures
    proxied: Figures
    time_ratio: float
    up_bytes_ratio: float
    identical: bool
    differences: list[str]


@dataclass(frozen=True)
class Conditions:
    """What was emulated."""

    link: Link
    model_seconds: float

    def sentence(self) -> str:
        """One sentence: what was emulated, what was not, and so what the figures show."""
        uplink = f"{self.link.uplink * 8 / 1e6:g} Mbit/s up" if self.link.uplink else "no limit up"
        model = f"answers after {duration(self.model_seconds)}" if self.model_seconds else "answers at once"
        return (
            f"Emulated: a model that {model} and a link of {self.link.latency * 1e3:g} ms each way and {uplink}, the "
            "same in both runs; not emulated are TCP and TLS handshakes, packet loss, compression on the line, a real "
            "model's time and whatever a provider saves by keeping the context: so set the time saved per turn "
            "against what your turns take, and do not expect this ratio."
        )


def compare(direct: Run, proxied: Run, conditions: Conditions, differences: list[str]) -> Comparison:
    """The figures of both runs side by side."""
    one = _figures(direct, direct.conversation.connections)
    other = _figures(proxied, proxied.upgrades)
    return Comparison(
        emulated=True,
        conditions=conditions.sentence(),
        latency_seconds=conditions.link.latency,
        uplink_bytes_per_second=conditions.link.uplink,
        model_seconds=conditions.model_seconds,
        direct=one,
        proxied=other,
        time_ratio=round(one.seconds / other.seconds, 2),
        up_bytes_ratio=round(one.up_bytes / other.up_bytes, 2),
        identical=not differences,
        differences=differences,
    )


def _figures(run: Run, connections: int) -> Figures:
    return Figures(
        seconds=round(run.conversation.seconds, 3),
        first_event_p50_seconds=round(statistics.median(run.conversation.first_event_seconds), 4),
        up_bytes=run.up_bytes,
        connections=connections,
        turns=run.turns,
        deltas=run.deltas,
        http_turns=run.http_turns,
    )


def table(comparison: Comparison) -> list[str]:
    """The table's lines, the heading first: at most 80 columns, which are two spaces or more apart."""
    one, other = comparison.direct, comparison.proxied
    per_turn = one.seconds / one.turns, other.seconds / other.turns
    waits = one.first_event_p50_seconds, other.first_event_p50_seconds
    compared = f"{one.turns} prompts and the final answer: identical"
    rows = [
        ("", "directly", "through Openline", ""),
        ("time", *map(duration, (one.seconds, other.seconds)), _pace(one.seconds, other.seconds)),
        ("time per turn", *map(duration, per_turn), _less(*per_turn)),
        ("time to first event, p50", *map(duration, waits), _less(*waits)),
        ("bytes up", size(one.up_bytes), size(other.up_bytes), _fewer(one.up_bytes, other.up_bytes)),
        ("connections", f"{one.connections} HTTP", f"{other.connections} WebSocket", ""),
        ("turns sent as deltas", f"{one.deltas} of {one.turns}", f"{other.deltas} of {other.turns}", _plain(other)),
        ("compared", compared if comparison.identical else "; ".join(comparison.differences), "", ""),
    ]
    return [_ROW.format(*row).rstrip() for row in rows]


def _pace(direct: float, proxied: float) -> str:
    return f"{direct / proxied:.2f} times as fast" if direct >= proxied else f"{proxied / direct:.2f} times SLOWER"


def _fewer(direct: int, proxied: int) -> str:
    return f"{direct / proxied:.1f} times fewer" if direct >= proxied else f"{size(proxied - direct)} MORE"


def _less(direct: float, proxied: float) -> str:
    return f"{duration(abs(direct - proxied))} {'less' if direct >= proxied else 'MORE'}"


def _plain(figures: Figures) -> str:
    return f"{figures.http_turns} over plain HTTP" if figures.http_turns else ""
