"""What is known of hosts, and what is learned of them."""

from itertools import count

import pytest

from proxy.config import Upstream
from proxy.core.lane import Verdict
from proxy.core.reasons import Whole
from proxy.upstream.capabilities import Capabilities, Host, capabilities, public_name

MIB = 2**20
MODEL = b"m"


@pytest.mark.parametrize(
    ("url", "age", "verifies", "summaries"),
    [
        ("https://api.openai.com/v1", 3_600, True, False),
        ("https://eu.api.openai.com/v1", 3_600, True, False),
        ("https://us.api.openai.com/v1", 3_600, True, False),
        ("https://API.OpenAI.com:443/v1", 3_600, True, False),
        ("https://mine.openai.azure.com/openai/v1", 3_600, None, False),
        ("https://api.x.ai/v1", 1_500, None, True),
        ("https://ai-gateway.vercel.sh/v1", 3_600, None, True),
        ("http://127.0.0.1:4000/v1", 3_600, None, True),
        ("https://api.openai.com.example.org/v1", 3_600, None, True),
        ("https://openai.azure.com.example.org/v1", 3_600, None, True),
    ],
)
def test_hosts_are_known_by_name(url: str, age: float, verifies: bool | None, summaries: bool) -> None:  # noqa: FBT001
    """The table of protocol.md, by exact host or by Azure's suffix; every other host gets the safest values."""
    assert capabilities(Upstream(url=url)) == Capabilities(float(age), 16 * MIB, verifies, verifies is True, summaries)


def test_settings_go_before_the_table() -> None:
    """Each setting replaces what the table says, in both directions."""
    openai = capabilities(
        Upstream(age_limit_seconds=9.0, frame_limit_bytes=7, verifies_ids="no", lanes="off", summaries_count="yes")
    )
    assert openai == Capabilities(9.0, 7, verifies_ids=False, lanes=False, summaries_count=True)
    other = capabilities(Upstream(url="http://h/v1", verifies_ids="yes", lanes="on", summaries_count="no"))
    assert (other.verifies_ids, other.lanes, other.summaries_count) == (True, True, False)


def host(*, verifies: bool | None = None) -> Host:
    """A host whose clock goes on by a second at every look."""
    ticks = count()
    return Host(Capabilities(verifies_ids=verifies), recheck_seconds=3.0, clock=lambda: float(next(ticks)))


def test_an_unknown_host_must_be_asked() -> None:
    """No deltas, and a question, until the host has refused a made-up id."""
    one = host()
    assert one.must_be_asked(MODEL)
    assert one.trust(MODEL).distrust is Whole.HOST_UNVERIFIED
    one.asked(MODEL, Verdict.REFUSED)
    assert not one.must_be_asked(MODEL)
    assert one.trust(MODEL).distrust is None


def test_a_lenient_host_gets_no_deltas() -> None:
    """A host that went on from a made-up id is not asked again and gets no deltas."""
    one = host()
    one.asked(MODEL, Verdict.ACCEPTED)
    assert not one.must_be_asked(MODEL)
    assert one.trust(MODEL).distrust is Whole.HOST_UNVERIFIED


def test_an_unclear_answer_proves_nothing() -> None:
    """The question stays open after an unclear answer, and what was learned stays learned."""
    one = host()
    one.asked(MODEL, Verdict.UNCLEAR)
    assert one.must_be_asked(MODEL)
    one.asked(MODEL, Verdict.REFUSED)
    one.asked(MODEL, Verdict.UNCLEAR)
    assert one.trust(MODEL).verified


def test_each_model_has_a_verdict_of_its_own() -> None:
    """Behind a gateway another model may be another backend; what the table or a setting knows is known of all."""
    one = host()
    one.asked(MODEL, Verdict.REFUSED)
    assert one.must_be_asked(b"other")
    assert one.trust(b"other").distrust is Whole.HOST_UNVERIFIED
    assert one.status().verifies_ids == "yes"
    one.asked(b"other", Verdict.ACCEPTED)
    assert (one.keeps_nothing(b"other"), one.keeps_nothing(MODEL)) == (True, False)
    assert one.status().verifies_ids == "some"
    assert host(verifies=True).trust(b"other").verified
    assert host(verifies=False).keeps_nothing(b"other")


def test_verdicts_are_bounded() -> None:
    """Callers may name any number of models: those that were used longest ago are asked about again."""
    one = host()
    for number in range(2_000):
        one.asked(b"%d" % number, Verdict.REFUSED)
        assert one.trust(b"0").verified
    assert one.must_be_asked(b"1")
    assert one.trust(b"1999").verified


def test_a_suspected_host_is_trusted_no_more() -> None:
    """Lost context stops deltas even to a host that verifies ids."""
    one = host(verifies=True)
    assert one.trust(MODEL).distrust is None
    one.suspected()
    assert one.trust(MODEL).distrust is Whole.CONTEXT_SUSPECT


def test_a_host_without_websocket_mode_is_asked_again() -> None:
    """After a refused upgrade the host counts as one without WebSocket mode for recheck_seconds, then no more."""
    one = host()
    assert one.has_websocket
    one.refused_websocket()  # at second 1, so until second 4
    assert [one.has_websocket for _ in range(3)] == [False, False, True]


def test_a_host_that_refused_lanes_is_asked_for_none() -> None:
    """Lanes are used where the table or a setting says so, until the host has refused one."""
    one = Host(Capabilities(lanes=True), recheck_seconds=1, clock=lambda: 0.0)
    assert one.has_lanes
    one.refused_lanes()
    assert not one.has_lanes
    assert not host().has_lanes


def test_whether_a_host_forks_is_learned_once() -> None:
    """Not found before any fork was: it never is there. Not found later: that one response is gone."""
    one, other = host(), host()
    assert one.has_forks
    assert one.refuses_forks()
    assert not one.has_forks
    assert one.refuses_forks(), "those that were under way say the same"
    other.forked()
    assert not other.refuses_forks()
    assert other.has_forks


def test_what_goes_well_without_a_name_alone_shows_that_there_are_no_lanes() -> None:
    """Of a host that never took one; of another when it recurs within recheck_seconds, and at first only the number."""
    now = 0.0
    one = Host(Capabilities(lanes=True), recheck_seconds=3.0, clock=lambda: now)
    one.did_without(0)
    assert (one.has_lanes, one.names) == (False, 0)
    one = Host(Capabilities(lanes=True), recheck_seconds=3.0, clock=lambda: now)
    one.takes_names = True
    one.did_without(5)
    now = 3.1
    one.did_without(7)
    assert (one.has_lanes, one.names) == (True, 32)
    one.did_without(6)
    assert (one.has_lanes, one.names) == (True, 7)
    one.did_without(0)
    assert one.has_lanes
    one.did_without(0)
    assert not one.has_lanes


def test_frames_that_are_nobodys_cost_lanes_when_they_recur() -> None:
    """Once is an accident, twice within recheck_seconds is how the host is; so is an error that names no lane."""
    now = 0.0
    one = Host(Capabilities(lanes=True), recheck_seconds=3.0, clock=lambda: now)
    for now in (0.0, 3.1):  # noqa: B007 - the clock's
        one.mixed_up(certain=False)
        assert one.has_lanes
    now = 6.0
    one.mixed_up(certain=False)
    assert not one.has_lanes
    one = Host(Capabilities(lanes=True), recheck_seconds=3.0, clock=lambda: now)
    one.mixed_up(certain=True)
    assert not one.has_lanes


def test_an_age_limit_is_learned_where_it_can_be_one() -> None:
    """The least that was met counts; what is said to be reached at once is another limit."""
    one = Host(Capabilities(), recheck_seconds=1, clock=lambda: 0.0)
    learned = []
    for age in (4_000.0, 900.0, 1_200.0, 4.9, 6.0):
        one.refused_age(age)
        learned.append(one.known.age_limit_seconds)
    assert learned == [3_600.0, 900.0, 900.0, 900.0, 6.0]


def test_a_question_that_twice_ended_the_line_is_asked_no_more_for_now() -> None:
    """Once may be an accident; after the second time the host is asked again when recheck_seconds have passed."""
    now = 0.0
    one = Host(Capabilities(verifies_ids=None), recheck_seconds=3.0, clock=lambda: now)
    for since in (0.0, 10.0):
        now = since
        one.asked_in_vain()
        assert one.must_be_asked(MODEL)
        one.asked_in_vain()
        assert not one.must_be_asked(MODEL)
        assert one.trust(MODEL).distrust is Whole.HOST_UNVERIFIED
        now = since + 2.9
        assert not one.must_be_asked(MODEL)
        now = since + 3.0
        assert one.must_be_asked(MODEL)
    one.asked(MODEL, Verdict.REFUSED)
    assert one.trust(MODEL).verified


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "api.openai.com"),
        ("api.x.ai", "api.x.ai"),
        ("mine.openai.azure.com", "….openai.azure.com"),
        ("api.openai.com.mine.example", None),
        ("mine.example", None),
        ("", None),
    ],
)
def test_some_names_are_public(host: str, name: str | None) -> None:
    """Those of the table, without what is a user's own; no other."""
    assert public_name(host) == name
