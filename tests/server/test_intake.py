"""An intake: what is taken for a plain create, and what is left to the upstream."""

import gzip

import msgspec
import pytest

from proxy.config import Limits
from proxy.core.beginnings import Beginnings
from proxy.core.reasons import Passed
from proxy.core.request import NotPlain
from proxy.server.intake import Intake

BODY = msgspec.json.encode({"model": "m", "input": [{"role": "user", "content": "hi"}]})
LIMITS = Limits(body_bytes=10_000, items=20, depth=10)


@pytest.mark.parametrize(("raw", "encodings"), [(BODY, ""), (gzip.compress(BODY, mtime=0), "gzip"), (BODY, "identity")])
async def test_a_create_is_read(raw: bytes, encodings: str) -> None:
    """What it says is kept as it was spelt, without its encoding."""
    create = await Intake().create(raw, encodings, LIMITS, Beginnings(b"key", float))
    assert (create.body, create.raw_items()) == (BODY, [b'{"role":"user","content":"hi"}'])


@pytest.mark.parametrize(
    ("raw", "encodings"),
    [
        (b"{", ""),
        (BODY, "gzip"),
        (BODY, "rot13"),
        (gzip.compress(b" " * 10_000 + BODY), "gzip"),
        (BODY.replace(b'"hi"', b"[" * 10 + b"]" * 10), ""),
        (msgspec.json.encode({"model": "m", "input": [{}] * 21}), ""),
        (msgspec.json.encode({"model": "m", "input": [], "x": [0] * 500}), ""),
    ],
    ids=["no JSON", "broken", "unknown", "too large", "too deep", "too many items", "too many values"],
)
async def test_what_cannot_be_read_is_odd(raw: bytes, encodings: str) -> None:
    """The upstream may judge it."""
    with pytest.raises(NotPlain) as caught:
        await Intake().create(raw, encodings, LIMITS, Beginnings(b"key", float))
    assert caught.value.reason is Passed.ODD_BODY


async def test_what_is_no_plain_create_says_why() -> None:
    """A reason of its own, where there is one."""
    with pytest.raises(NotPlain) as caught:
        await Intake().create(
            BODY.replace(b'"input"', b'"previous_response_id":"resp_1","input"'), "", LIMITS, Beginnings(b"key", float)
        )
    assert caught.value.reason is Passed.OWN_STATE
