"""From bytes to a JSON object."""

import gzip

import brotli
import pytest

from proxy.simulator.bodies import decompress, parse
from proxy.simulator.errors import RefusedError


def test_encodings_are_undone_from_the_last() -> None:
    """Content-Encoding lists what was applied, in order."""
    assert decompress(brotli.compress(gzip.compress(b"x")), "gzip, br") == b"x"
    assert decompress(b"x", "") == b"x"


@pytest.mark.parametrize("raw", [b"", b"[1]", b"null", b'"x"', b"{", b"\xff", b'{"a":NaN}', b"[" * 100_000])
def test_only_an_object_will_do(raw: bytes) -> None:
    """Anything but one JSON object is refused with 400."""
    with pytest.raises(RefusedError) as refused:
        parse(raw)
    assert refused.value.error.status == 400


def test_numbers_keep_their_type() -> None:
    """1 and 1.0 stay what they are."""
    assert [type(value) for value in parse(b'{"a":1,"b":1.0}').values()] == [int, float]
