"""An overview: what is shown of each state, and that no secret is in it."""

import msgspec
import pytest

from proxy import __version__
from proxy.cli.overview import Overview, as_json, lines, span
from proxy.cli.turns import Turn
from proxy.core.reasons import MEANINGS, Route, Whole
from proxy.instance import Instance
from proxy.server.status import Identity, Status
from proxy.telemetry.summary import Observed, Summary, Way
from proxy.upstream.status import BreakerStatus, HostStatus, PoolStatus, SocketStatus

_NOW = 1_700_000_000.0
_WAYS = {
    Route.DELTA: Way(
        turns=3, request_bytes=9_000, sent_bytes=300, first_event_p50=0.2, input_tokens=400, cached_tokens=300
    ),
    Route.FULL: Way(turns=1, request_bytes=1_000, sent_bytes=1_100, output_tokens=50),
}


def seen(
    pool: PoolStatus | None = None,
    *,
    summary: Summary | None = None,
    turns: tuple[Turn, ...] = (),
    unready: str | None = None,
    version: str = __version__,
    log: str | None = "/a/log",
) -> Overview:
    """One, of which all is well but for what is given."""
    base, admin = "http://127.0.0.1:6736/v1", "http://127.0.0.1:6735"
    status = Status(
        identity=Identity(api=base, admin=admin),
        uptime_seconds=3_700.0,
        mode="on",
        upstream="https://api.example",
        unready=unready,
        running=2,
        connections=1,
        pool=pool or healthy(),
    )
    instance = Instance(pid=7, version=version, api=base, admin=admin, control="secret", started_at=_NOW, log=log)
    return Overview(instance, status, summary or Summary(), turns, _NOW)


def healthy(
    host: HostStatus | None = None, breakers: BreakerStatus | None = None, *, retiring: int = 0, waiting: int = 0
) -> PoolStatus:
    """A pool that is well."""
    known = HostStatus(websocket=True, verifies_ids="yes", lanes=False, suspect=False)
    return PoolStatus(
        SocketStatus(idle=1, busy=2, retiring=retiring, coming=retiring),
        waiting,
        breakers or BreakerStatus(open=0, half_open=0, seconds_left=0.0),
        host or known,
    )


def shown(one: Overview, width: int = 100) -> list[str]:
    """Its lines."""
    return [line.text for line in lines(one, width)]


def bad(one: Overview) -> list[str]:
    """Those that stand out as bad."""
    return [line.text for line in lines(one, 100) if line.tone == "bad"]


def test_one_that_is_well() -> None:
    """Who it is, where it listens, what it has, and that nothing stands out."""
    assert shown(seen()) == [
        f"openline {__version__}, ready  (pid 7, up 1 h 1 min)",
        "callers    http://127.0.0.1:6736/v1",
        "admin      http://127.0.0.1:6735",
        "upstream   https://api.example, mode on",
        "log        /a/log",
        "",
        "now        2 turns running; 1 caller connected",
        "sockets    2 busy, 1 idle",
        "breaker    closed",
        "host       verifies ids, one turn a socket",
        "",
        "turns      none yet",
    ]
    assert bad(seen()) == []
    assert next(iter(lines(seen(), 100))).tone == "good"


def test_what_turns_come_to() -> None:
    """The share of deltas, what was not sent, times by route, tokens, what passed through, and troubles."""
    observed = Observed(turns=2, deltas=1, unsent_bytes=5_000)
    summary = Summary(
        *(4, _WAYS),
        passed={"/v1/models": 2, "/v1/files": 1},
        errors=1,
        replays=2,
        observed=observed,
        refusals={"passthrough/404": 1, "http/401": 3},
    )
    assert shown(seen(summary=summary))[11:] == [
        "turns      4, of which 3 as deltas (75 %)",
        "not sent   8.6 kB of 10.0 kB",
        "tokens     400 in (75 % cached), 50 out",
        "           route     turns   first event p50       sent         of",
        "           delta         3            200 ms      300 B     9.0 kB",
        "           full          1                 -     1.1 kB     1.0 kB",
        "observed   1 of 2 would have been deltas, 5.0 kB not sent",
        "passed     3 other calls: /v1/models 2, /v1/files 1",
        "refused    4 calls: http/401 3, passthrough/404 1",
        "troubles   1 ended with an error, 2 replays",
    ]


def test_no_saving_is_claimed_where_there_was_none() -> None:
    """Where more went up than came that is said; where nothing had a good answer, nothing is."""
    compressed = {Route.DELTA: Way(turns=1, request_bytes=1_000, sent_bytes=1_300)}
    told = shown(seen(summary=Summary(1, compressed, observed=Observed(2, 1, -7))))
    assert "sent       300 B more than the 1.0 kB that came" in told
    assert "observed   1 of 2 would have been deltas" in told
    told = shown(seen(summary=Summary(1, {Route.DELTA: Way(turns=1, errors=1)})))
    assert not any("not sent" in line or line.startswith("sent") for line in told)


def test_the_reasons_of_the_latest_turns_are_told() -> None:
    """Each once, the latest first, with its meaning on as many lines as it needs; deltas have none."""
    turns = (
        Turn("1", "full", "first", ended_at=_NOW - 90),
        Turn("2", "full", "no_match", ended_at=_NOW - 60),
        Turn("3", "passthrough", "other_path", ended_at=_NOW - 50),
        Turn("4", "full", "first", ended_at=_NOW - 5),
        Turn("5", "delta", ended_at=_NOW),
    )
    told = shown(seen(turns=turns), 60)[13:]
    assert told[0] == "why turns were no deltas, lately (more: openline explain)"
    assert told[1] == "first (full): 2 times, last 5 s ago"
    at = told.index("no_match (full): 1 min 0 s ago")
    assert " ".join(line.strip() for line in told[2:at]) == MEANINGS[Whole.FIRST]
    assert " ".join(line.strip() for line in told[at + 1 :]) == MEANINGS[Whole.NO_MATCH]
    assert max(map(len, told[1:])) <= 60


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (seen(unready="draining"), f"openline {__version__}, takes no turns: draining  (pid 7, up 1 h 1 min)"),
        (seen(version="0.0.1"), f"restart needed: this command is version {__version__} (openline restart)"),
        (
            seen(healthy(breakers=BreakerStatus(open=1, half_open=0, seconds_left=12.0))),
            "breaker    open: WebSockets came to nothing, plain HTTP for 12.0 s more",
        ),
        (
            seen(healthy(HostStatus(websocket=False, verifies_ids="unknown", lanes=False, suspect=False))),
            "host       has no WebSocket mode: everything goes over plain HTTP",
        ),
        (
            seen(healthy(HostStatus(websocket=True, verifies_ids="no", lanes=True, suspect=False))),
            "host       does not verify ids: no deltas, several turns a socket",
        ),
        (
            seen(healthy(HostStatus(websocket=True, verifies_ids="yes", lanes=True, suspect=True))),
            "           CONTEXT SUSPECT: it may have lost a conversation; no more deltas go to it",
        ),
    ],
)
def test_what_is_not_as_it_should_be_stands_out(one: Overview, line: str) -> None:
    """One line, marked as bad."""
    assert bad(one) == [line]


def test_states_that_pass() -> None:
    """Sockets that come and go, turns that wait, a breaker that tries again, a host that was not asked, no log."""
    host = HostStatus(websocket=True, verifies_ids="unknown", lanes=False, suspect=False)
    breakers = BreakerStatus(open=0, half_open=1, seconds_left=0.0)
    told = shown(seen(healthy(host, breakers, retiring=1, waiting=1), log=None))
    assert told[4:10] == [
        "log        none: it runs in the foreground",
        "",
        "now        2 turns running, 1 of them waiting for a socket; 1 caller connected",
        "sockets    2 busy, 1 idle, 1 retiring, 1 being opened",
        "breaker    half open: one WebSocket may be tried",
        "host       not asked yet about its ids, one turn a socket",
    ]


def test_programs_get_all_of_it_but_the_secret() -> None:
    """One object; what opens the control pages is not in it."""
    turns = (Turn("1", "full", "first", ended_at=_NOW - 90),)
    said = as_json(seen(summary=Summary(4, _WAYS), turns=turns, version="0.0.1"))
    told = msgspec.json.decode(said)
    assert b"secret" not in said
    assert (told["pid"], told["version"], told["command_version"]) == (7, "0.0.1", __version__)
    assert (told["restart_needed"], told["ready"]) == (True, True)
    assert told["status"]["pool"]["sockets"]["busy"] == 2
    assert (told["summary"]["turns"], told["summary"]["deltas"]) == (4, 3)
    assert told["misses"] == [{"route": "full", "reason": "first", "count": 1, "last_at": _NOW - 90}]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_600, "1 h 0 min"), (90_000, "1 d 1 h")]
)
def test_a_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    """So that it can be read at a glance."""
    assert span(seconds) == text
