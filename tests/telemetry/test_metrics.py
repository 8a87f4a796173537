"""Metrics: what a scraper gets. `python -m tests.telemetry.test_metrics` writes the page."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy import __version__
from proxy.core.reasons import MEANINGS, Passed, Plain, Reason, Route, Whole
from proxy.telemetry.metrics import BUCKETS, NONE, Load, Metrics
from proxy.turns.outcome import End, Outcome
from proxy.upstream.status import BreakerStatus, HostStatus, PoolStatus, SocketStatus

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"
HOST = "api.openai.com"
STATUS = PoolStatus(
    SocketStatus(idle=1, busy=2, retiring=3, coming=4),
    5,
    BreakerStatus(6, 7, 8.0),
    HostStatus(websocket=True, verifies_ids="yes", lanes=True, suspect=False),
)
LOAD = Load(turns=9, callers=10)
_TABLE = re.compile(r"^\| Name \|.*?\n\n", re.MULTILINE | re.DOTALL)


def metrics() -> Metrics:
    """Those of a proxy that has served nothing."""
    return Metrics(HOST, lambda: STATUS, lambda: LOAD)


def outcome(route: Route = Route.DELTA, reason: Reason | None = None) -> Outcome:
    """A turn as most are."""
    return Outcome("ol_1", route, reason, status=200, end=End.COMPLETED, total_seconds=2.0)


def every_outcome() -> Iterator[Outcome]:
    """One of every route, reason and end, with all that can be counted."""
    for route in Route:
        for reason in (None, *MEANINGS):
            for end in End:
                one = outcome(route, reason)
                one.end, one.first_event_seconds, one.input_tokens = end, 0.5, 10
                yield one


def scraped(measured: Metrics) -> dict[str, Metric]:
    """What a scraper reads, by name."""
    body, _ = measured.page()
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def values(measured: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The samples of this name, by the values of their labels but the upstream's, in the order of the labels' names."""
    samples = (sample for family in scraped(measured).values() for sample in family.samples if sample.name == name)
    return {
        tuple(value for label, value in sorted(one.labels.items()) if label != "upstream"): one.value for one in samples
    }


def after(*outcomes: Outcome) -> Metrics:
    """Metrics that were told of these."""
    measured = metrics()
    for one in outcomes:
        measured.turn(one)
    return measured


def table() -> str:
    """The table that explains every metric, made from what a scraper gets."""
    rows = ["| Name | Type | Labels | Meaning |", "|---|---|---|---|"]
    for family in scraped(after(*every_outcome())).values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted(set(family.samples[0].labels) - {"le"}, key=lambda label: (label != "upstream", label))
        shown = ", ".join(f"`{label}`{words(family, label)}" for label in labels)
        rows.append(f"| `{name}` | {family.type} | {shown} | {family.documentation} |")
    return "\n".join(rows) + "\n\n"


def words(family: Metric, label: str) -> str:
    """What a label may say, where no other list has it."""
    if label not in {"kind", "state"}:
        return ""
    found = dict.fromkeys(sample.labels[label] for sample in family.samples)
    return f" ({', '.join(f'`{word}`' for word in found)})"


def page() -> str:
    """The page with that table in place of its own."""
    return _TABLE.sub(lambda _: table(), PAGE.read_text("utf-8"))


def test_the_page_has_what_a_scraper_gets() -> None:
    """The table of docs/metrics.md is complete and equal to the code."""
    assert table() in PAGE.read_text("utf-8")


def test_the_page_has_the_buckets() -> None:
    """Who aggregates histograms finds their bounds."""
    bounds = re.search(r"Its buckets end at (.*) s\.", PAGE.read_text("utf-8"))
    assert bounds
    assert bounds[1] == ", ".join(f"{bound:g}" for bound in BUCKETS)


def test_the_page_explains_every_end() -> None:
    """Each word of the label `end` is there, with what it means, and no other."""
    explained = re.findall(r"^  - `(\w+)`: .+\.$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert explained == [end.value for end in End]


def test_the_questions_ask_for_what_is_there() -> None:
    """Each PromQL example names series, labels and words that a scraper gets."""
    samples = [one for family in scraped(after(*every_outcome())).values() for one in family.samples]
    questions = re.findall(r"^```promql\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(questions) >= 3
    for question in questions:
        for name, matchers in re.findall(r"(openline_\w+)(?:\{(.*?)\})?", question):
            mine = [one for one in samples if one.name == name]
            assert mine, name
            for label, words in re.findall(r'(\w+)[=!]~?"(.*?)"', matchers):
                assert set(words.split("|")) <= {one.labels[label] for one in mine}


def test_the_page_has_the_text_format_of_old() -> None:
    """The content type is the one that every Prometheus takes."""
    _, kind = metrics().page()
    assert kind == "text/plain; version=0.0.4; charset=utf-8"


def test_routes_and_reasons_are_those_of_the_one_list() -> None:
    """No label has a route or a reason of its own, but for the word that says that there is none."""
    assert NONE not in {reason.value for reason in MEANINGS}
    for family in scraped(after(*every_outcome())).values():
        for sample in family.samples:
            assert sample.labels.get("route") in {None, *(route.value for route in Route)}
            assert sample.labels.get("reason") in {None, NONE, *(reason.value for reason in MEANINGS)}


def test_everything_says_which_upstream_it_is_of() -> None:
    """Each series has the host that the metrics are of, but for the one that says what runs here."""
    for family in scraped(after(*every_outcome())).values():
        hosts = {sample.labels.get("upstream") for sample in family.samples}
        assert hosts == ({None} if family.name == "openline_build_info" else {HOST})


def test_nothing_that_varies_makes_a_series() -> None:
    """Ids, paths, methods, runs, faults and odd statuses add no label: they are private, or without bound."""
    measured = after(
        *(replace(one, status=status) for one in every_outcome() for status in (0, 100, 200, 300, 400, 500))
    )
    series = [(one.name, one.labels) for family in scraped(measured).values() for one in family.samples]
    for status in (0, 99, 199, 204, 307, 429, 599, 600, 999):
        odd = Outcome("ol_secret", Route.HTTP, Plain.LINE_LOST, method="SECRET", path="/secret", run="secret")
        odd.status, odd.faults = status, ["secret"]
        measured.turn(odd)
    assert [(one.name, one.labels) for family in scraped(measured).values() for one in family.samples] == series
    assert b"secret" not in measured.page()[0].lower()


def test_turns_are_counted_by_route_and_reason() -> None:
    """Deltas have no reason, all others have theirs."""
    turns = values(
        after(outcome(), outcome(), outcome(Route.FULL, Whole.FIRST), outcome(Route.PASSTHROUGH, Passed.OTHER_PATH)),
        "openline_turns_total",
    )
    counted = {labels: count for labels, count in turns.items() if count}
    assert counted == {("none", "delta"): 2, ("first", "full"): 1, ("other_path", "passthrough"): 1}


def test_what_can_be_counted_is_there_from_the_start() -> None:
    """A series that begins at 1 shows no increase: reasons, bytes, replays and suspects begin at 0."""
    measured = metrics()
    turns = values(measured, "openline_turns_total")
    assert {reason for reason, _ in turns} == {NONE, *(reason.value for reason in MEANINGS)}
    assert ("connection_lost", "full") in turns
    assert ("dial_failed", "http") in turns
    assert ("other_path", "passthrough") in turns
    assert ("none", "delta") in turns
    for name in ("request_bytes", "upstream_sent_bytes"):
        assert set(values(measured, f"openline_{name}_total")) == {(route.value,) for route in Route}
    for name in ("replays", "context_suspect"):
        assert values(measured, f"openline_{name}_total") == {(): 0}
    assert set(turns.values()) == {0}


@pytest.mark.parametrize(
    ("status", "word"), [(0, "none"), (200, "2xx"), (299, "2xx"), (429, "4xx"), (502, "5xx"), (999, "none")]
)
def test_ends_are_counted_with_the_class_of_the_status(status: int, word: str) -> None:
    """How a turn ended, by route, and roughly what status the caller got."""
    ended = outcome(Route.HTTP, Plain.NO_WEBSOCKET)
    ended.status, ended.end = status, End.PASSED
    assert values(after(ended), "openline_turn_ends_total") == {("passed", "http", word): 1}


def test_bytes_are_counted_both_ways() -> None:
    """What callers sent, and what went upstream for it, by route."""
    delta, passed = outcome(), outcome(Route.PASSTHROUGH, Passed.QUERY)
    delta.request_bytes, delta.sent_bytes = 1_000, 10
    passed.request_bytes, passed.sent_bytes = 7, 6
    measured = after(delta, delta, passed)
    came, went = (values(measured, f"openline_{name}_total") for name in ("request_bytes", "upstream_sent_bytes"))
    assert (came[("delta",)], came[("passthrough",)], came[("full",)]) == (2_000, 7, 0)
    assert (went[("delta",)], went[("passthrough",)], went[("full",)]) == (20, 6, 0)


def test_tokens_are_counted_by_kind() -> None:
    """Each of the upstream's four counts, by route."""
    delta = outcome()
    delta.input_tokens, delta.cached_tokens, delta.output_tokens, delta.reasoning_tokens = 100, 90, 20, 15
    tokens = values(after(delta, delta), "openline_tokens_total")
    kinds = {"input": 200, "cached": 180, "output": 40, "reasoning": 30}
    assert tokens == {(kind, "delta"): count for kind, count in kinds.items()}


def test_where_nobody_counted_tokens_there_are_none() -> None:
    """A route whose tokens are not known has no series, rather than one that says 0."""
    assert values(after(outcome(Route.HTTP, Plain.MODE_OFF)), "openline_tokens_total") == {}


def test_replays_and_suspects_are_counted() -> None:
    """Each replay of a turn counts, and each turn that may have lost its context."""
    one = outcome()
    one.replays, one.context_suspect = 2, True
    measured = after(one, one, outcome())
    assert values(measured, "openline_replays_total") == {(): 4}
    assert values(measured, "openline_context_suspect_total") == {(): 2}


def test_times_fall_into_buckets() -> None:
    """A bucket holds all that took at most as long as its bound; count and sum are those of all."""
    times = (0.0, 0.05, 0.06, 600.0, 601.0)
    measured = after(*(replace(outcome(), total_seconds=seconds) for seconds in times))
    buckets = values(measured, "openline_turn_seconds_bucket")
    assert [buckets[(bound, "delta")] for bound in ("0.05", "0.1", "300.0", "600.0", "+Inf")] == [2, 3, 3, 4, 5]
    assert [float(bound) for bound, _ in buckets] == [*BUCKETS, float("inf")]
    assert values(measured, "openline_turn_seconds_count") == {("delta",): 5}
    assert values(measured, "openline_turn_seconds_sum") == {("delta",): pytest.approx(1_201.11)}


def test_a_turn_without_an_event_has_no_first_one() -> None:
    """Its time is not 0: it is not counted at all."""
    answered = replace(outcome(Route.HTTP, Plain.OVERSIZE), first_event_seconds=0.4)
    measured = after(outcome(), answered)
    assert values(measured, "openline_first_event_seconds_count") == {("http",): 1}
    assert values(measured, "openline_first_event_seconds_sum") == {("http",): pytest.approx(0.4)}
    assert set(values(measured, "openline_turn_seconds_count")) == {("delta",), ("http",)}


def test_gauges_say_how_things_stand_now() -> None:
    """Connections, breakers, turns and callers are read at each scrape."""
    now, load = [STATUS], [LOAD]
    measured = Metrics(HOST, lambda: now[-1], lambda: load[-1])
    states = {("idle",): 1, ("busy",): 2, ("retiring",): 3, ("coming",): 4}
    assert values(measured, "openline_connections") == states
    assert values(measured, "openline_breakers") == {("open",): 6, ("half_open",): 7}
    assert values(measured, "openline_turns_waiting") == {(): 5}
    assert values(measured, "openline_turns_in_flight") == {(): 9}
    assert values(measured, "openline_callers") == {(): 10}
    now.append(replace(STATUS, sockets=SocketStatus(0, 11, 0, 0), waiting=12))
    load.append(Load(13, 14))
    assert values(measured, "openline_connections")[("busy",)] == 11
    assert values(measured, "openline_turns_waiting") == {(): 12}
    assert values(measured, "openline_turns_in_flight") == {(): 13}


def test_the_build_is_named() -> None:
    """A fleet's versions can be told apart, Python's too."""
    python = ".".join(map(str, sys.version_info[:3]))
    assert values(metrics(), "openline_build_info") == {(python, __version__): 1}


def test_two_proxies_in_a_process_count_apart() -> None:
    """Nothing is global: what one counts, the other does not."""
    busy, idle = after(outcome()), metrics()
    assert sum(values(busy, "openline_turns_total").values()) == 1
    assert sum(values(idle, "openline_turns_total").values()) == 0


async def test_nothing_is_written_for_the_library_of_another_program(tmp_path: Path) -> None:
    """An environment that makes the library keep its counts in files of another program leaves those alone."""
    code = (
        "from tests.telemetry.test_metrics import after, outcome\n"
        "body, _ = after(outcome()).page()\n"
        "print(b'openline_turns_total' in body, b'_created' in body)"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out.decode().split() == ["True", "False"]
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
