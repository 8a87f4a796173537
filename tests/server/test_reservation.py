"""A reservation: what keeps a turn for plain HTTP, by its headers and its images."""

from collections.abc import Iterator, Mapping

import pytest
from multidict import CIMultiDict

from proxy.config import Images, Upstream
from proxy.core.request import CreateRequest, parse
from proxy.server.reservation import by_header, by_image

IMAGE = b'{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"u"}]}]%b}'


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("Idempotency-Key", True),
        ("COOKIE", True),
        ("x-api-key", True),
        ("X-Listed", True),
        ("X-Who", False),
        ("X-Who-Token", False),
        ("Authorization", False),
        ("x-openline-token", False),
        ("X-Other", False),
    ],
)
def test_a_header_keeps_its_turn(header: str, kept: bool) -> None:  # noqa: FBT001 # a table
    """What a socket cannot carry, however it is written; what is listed as identity goes on the upgrade."""
    upstream = Upstream(semantic_headers=("x-LISTED", "x-who"), identity_headers=("x-who", "X-Who-Token"))
    assert by_header(CIMultiDict({"Content-Type": "application/json", header: "1"}), upstream) is kept


@pytest.mark.parametrize(
    ("images", "more", "kept"),
    [
        ("http", b"", True),
        ("http", b',"image":{"context_compression":"auto"}', True),
        ("http", b',"image":{"context_compression":"disabled"}', False),
        ("socket", b"", False),
        ("socket", b',"image":{"context_compression":"auto"}', False),
    ],
)
def test_an_image_keeps_its_turn_where_that_is_set(images: Images, more: bytes, kept: bool) -> None:  # noqa: FBT001 # a table
    """Only with `http`, and only where the request leaves its preparation to the host."""
    assert by_image(parse(IMAGE % more, most_items=1), Upstream(images=images)) is kept


class Untouched(Mapping[str, object]):
    """Fields that nobody may look at."""

    def __getitem__(self, name: str) -> object:
        raise AssertionError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError

    def __len__(self) -> int:
        raise AssertionError


def test_nothing_is_read_where_it_is_not_set() -> None:
    """With `socket` the request is not looked into at all."""
    create = CreateRequest(b"", Untouched(), (), listed=True, stream=False)  # type: ignore[arg-type] # it has no fields
    assert not by_image(create, Upstream())
    with pytest.raises(AssertionError, match="image"):
        by_image(create, Upstream(images="http"))
