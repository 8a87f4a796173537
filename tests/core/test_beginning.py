"""A beginning: places and digests in one piece each, at the size that is counted for them."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.beginning import Beginning, placed
from proxy.core.fingerprint import SIZE
from proxy.core.spans import Field, Span

FIELDS = tuple(
    (name, Field(at, at + 9, at + 12)) for at, name in enumerate(("model", "store", "stream", "tools", "input"))
)


def beginning(items: tuple[Span, ...]) -> Beginning:
    """One with these items."""
    count = len(items)
    return Beginning(
        9, FIELDS, placed(items), acts=False, thoughts=0, stored=False, meant=b"m" * SIZE * count, chain=b"c" * SIZE
    )


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)).map(lambda edges: Span(*edges)), max_size=9))
def test_items_come_back(items: list[Span]) -> None:
    """As they were, and as many."""
    one = beginning(tuple(items))
    assert (one.items, one.count) == (tuple(items), len(items))


def test_it_weighs_what_it_takes() -> None:
    """Its weight bounds the memory: a thousand of them take no more than is counted."""
    items = tuple(Span(at, at + 7) for at in range(100))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [beginning(items) for _ in range(1_000)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= sum(one.weight for one in kept)
