"""Addresses and pool keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fingerprint import Fingerprints
from proxy.upstream.address import IDENTITY, Address, PoolKey, pool_key

Pairs = list[tuple[str, str]]
PRINTS = Fingerprints(b"k" * 32)
HERE = Address("https://api.openai.com/v1")
CALLER: Pairs = [("Authorization", "Bearer sk-secret"), ("User-Agent", "sdk"), ("X-Stainless-Lang", "python")]
NEVER = (
    "x-stainless-lang",
    "x-stainless-retry-count",
    "traceparent",
    "tracestate",
    "baggage",
    "x-request-id",
    "x-client-request-id",
    "session_id",
    "user-agent",
    "accept",
    "cookie",
    "host",
    "content-type",
    "content-length",
    "x-openline-mode",
)


def key(headers: Pairs, *, address: Address = HERE, more: tuple[str, ...] = (), beta: str = "") -> PoolKey:
    """The pool key of a request with these headers."""
    return pool_key(address, headers, more, beta, PRINTS)


@pytest.mark.parametrize(
    ("base", "socket"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/responses"),
        ("http://127.0.0.1:6737/v1", "ws://127.0.0.1:6737/v1/responses"),
        ("http://127.0.0.1:6737/v1/", "ws://127.0.0.1:6737/v1/responses"),
        ("https://r.openai.azure.com/openai/v1", "wss://r.openai.azure.com/openai/v1/responses"),
        ("https://[::1]:8443", "wss://[::1]:8443/responses"),
    ],
)
def test_the_socket_url_keeps_host_port_and_path(base: str, socket: str) -> None:
    """Http maps to ws and https to wss; host, port and path stay."""
    assert Address(base).responses_socket == socket


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        ("/v1/responses", "https://h:8443/openai/v1/responses"),
        ("/v1/models?limit=2", "https://h:8443/openai/v1/models?limit=2"),
        ("/v1", "https://h:8443/openai/v1"),
        ("/v1?a=b", "https://h:8443/openai/v1?a=b"),
        ("/v10/x", "https://h:8443/v10/x"),
        ("/healthz", "https://h:8443/healthz"),
        ("/v1/a%2Fb//c", "https://h:8443/openai/v1/a%2Fb//c"),
    ],
)
def test_v1_stands_for_the_base_url(asked: str, url: str) -> None:
    """A caller's /v1 is the base URL, word for word behind it; any other path is the host's own."""
    assert Address("https://h:8443/openai/v1/").http(asked) == url


def test_only_identity_headers_are_in_a_key() -> None:
    """Exactly the headers that say who asks go on the upgrade, and no other one changes the key."""
    identity: Pairs = [(name.title(), f"value of {name}") for name in IDENTITY]
    others: Pairs = [(name, "x") for name in NEVER]
    assert key(identity + others).headers == tuple(sorted((name.lower(), value) for name, value in identity))
    assert key(identity + others) == key(identity)


@pytest.mark.parametrize("name", [*IDENTITY, "x-tenant"])
def test_each_identity_header_parts_the_pools(name: str) -> None:
    """Another value, or none, of any identity header, a configured one included, is another pool key."""
    keys = [key(CALLER + extra, more=("X-Tenant",)).digest for extra in ([], [(name, "one")], [(name, "two")])]
    assert len(set(keys)) == 3


def test_another_upstream_is_another_key() -> None:
    """The same caller at another host has other connections."""
    assert key(CALLER).digest != key(CALLER, address=Address("https://eu.api.openai.com/v1")).digest


def test_the_spelling_of_header_names_does_not_matter() -> None:
    """Header names are case-insensitive; values are not."""
    assert key([("AUTHORIZATION", "Bearer a")]) == key([("authorization", "Bearer a")])
    assert key([("authorization", "Bearer a")]).digest != key([("authorization", "Bearer A")]).digest


@pytest.mark.parametrize(
    ("given_value", "sent"),
    [
        (None, ["responses_websockets=2026-02-06"]),
        ("assistants=v2", ["assistants=v2", "responses_websockets=2026-02-06"]),
        ("responses_websockets=2026-02-06", ["responses_websockets=2026-02-06"]),
        ("a=b, responses_websockets=2026-02-06", ["a=b, responses_websockets=2026-02-06"]),
    ],
)
def test_the_beta_setting_is_merged(given_value: str | None, sent: list[str]) -> None:
    """beta_header is asked for beside the caller's own, once."""
    headers = [*CALLER, *([("OpenAI-Beta", given_value)] if given_value else [])]
    merged = key(headers, beta="responses_websockets=2026-02-06")
    assert [value for name, value in merged.headers if name == "openai-beta"] == sent


def test_a_key_does_not_show_its_credential() -> None:
    """Neither repr nor str of a pool key holds a header's value."""
    owner = key([*CALLER, ("api-key", "other-secret")])
    assert "secret" not in f"{owner!r} {owner}"
    assert "Bearer sk-secret" not in owner.digest.hex()


def test_a_header_that_is_no_text_parts_the_pools() -> None:
    """Bytes that are no UTF-8 count as they are."""
    assert key([("Authorization", "\udcff")]).digest != key([("Authorization", "\udcfe")]).digest


values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4)
pairs = st.lists(st.tuples(st.sampled_from([*IDENTITY, "x-other"]), values), max_size=4)


@given(pairs, pairs)
def test_keys_are_equal_exactly_when_the_identities_are(one: Pairs, other: Pairs) -> None:
    """Two requests share a pool if and only if their identity headers are the same."""

    def identity(headers: Pairs) -> Pairs:
        return sorted(pair for pair in headers if pair[0] in IDENTITY)

    assert (key(one).digest == key(other).digest) == (identity(one) == identity(other))
