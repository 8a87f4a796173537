"""Beginnings: those of the latest turns, found by their bytes. Where one is known, only the rest is parsed.

A history comes again at every turn, word for word: behind its last item a JSON parser is in one and the same state.
"""

import hashlib
from collections.abc import Callable

import cachetools

from proxy.core.beginning import Beginning, Mark, placed
from proxy.core.request import CreateRequest, made, parse
from proxy.core.spans import Field, NotJson, Span, array_spans, object_fields

# Below it a parse costs less than all this.
_LEAST = 16_384
_KEPT = 4 * 1_048_576
# Tools take less, most of the time. Who comes back later has his history parsed once more: a conversation at rest costs
# no more memory than its head.
_KEPT_SECONDS = 120.0
# Those that share the larger half of their bytes: sub-agents of one history, and what was undone.
_MOST_ALIKE = 32
# What the rest of a body goes on from, as far as a parser can tell: an array that has an element.
_AS_IF = b'{"input":[null'


class Beginnings:
    """One pass over a body finds the longest that is known of it.

    One is kept on the shelf that is named by the digest of its larger half: its first 16 KiB, 32 KiB, 64 KiB or so on.
    So whoever reads a body from its start comes by the shelf before he comes by the beginning's end.
    """

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        """`key` is a secret: who does not know it can make no two bodies that are taken for the same."""
        self._start = hashlib.sha256(key.ljust(hashlib.sha256().block_size, b"\0"))
        self._shelves: cachetools.TTLCache[bytes, dict[bytes, Beginning]] = cachetools.TTLCache(
            _KEPT, _KEPT_SECONDS, clock, _weight
        )

    def match(self, body: bytes) -> tuple[Beginning | None, Mark]:
        """The longest that is known of it, and how far the body was digested for that."""
        view, at, digest, edge = memoryview(body), 0, self._start.copy(), _LEAST
        best: tuple[Beginning | None, Mark] = None, Mark(0, self._start.copy(), b"")
        while edge <= len(body):
            digest.update(view[at:edge])
            at, name = edge, digest.digest()
            edge *= 2
            shelf = self._shelves.get(name)
            if shelf is None:
                best = best if best[0] else (None, Mark(at, digest.copy(), name))
                continue
            for size in sorted({known.size for known in shelf.values() if known.size <= len(body)}):
                digest.update(view[at:size])
                at = size
                known = shelf.get(digest.digest())
                if known:
                    best = known, Mark(at, digest.copy(), name)
        return best

    def keep(self, request: CreateRequest, meant: list[bytes], chain: list[bytes], *, instead: bool = False) -> None:
        """The turn may be continued: note how its body begins. `meant` and `chain` are what its items mean.

        With `instead` nobody goes on from what was known of it any more.
        """
        if not request.listed or not request.items or len(request.body) < _LEAST or request.mark is None:
            return
        size = request.items[-1].end
        if size < _LEAST:
            return
        start = request.mark if request.mark.at <= size else Mark(0, self._start, b"")
        mark = _on(start, memoryview(request.body), size)
        names = list(request.fields)
        beginning = Beginning(
            size,
            tuple((name, request.fields[name]) for name in names[: names.index("input") + 1]),
            placed(request.items),
            acts=request.items_act,
            thoughts=request.thoughts,
            stored=request.stored,
            meant=b"".join(meant),
            chain=b"".join(chain),
        )
        if instead and request.known:
            self._forget(request.mark)
        shelf = {**self._shelves.get(mark.shelf, {}), mark.digest.digest(): beginning}
        for oldest in list(shelf)[:-_MOST_ALIKE]:
            del shelf[oldest]
        if _weight(shelf) <= _KEPT:
            self._shelves[mark.shelf] = shelf

    def _forget(self, mark: Mark) -> None:
        shelf = self._shelves.pop(mark.shelf, {})
        others = {digest: known for digest, known in shelf.items() if digest != mark.digest.digest()}
        if others:
            self._shelves[mark.shelf] = others


def unread(body: bytes, known: Beginning | None) -> bytes:
    """What of the body is still to be parsed, as a JSON text of its own."""
    return _AS_IF + body[known.size :] if known else body


def read(body: bytes, known: Beginning | None, mark: Mark, *, most_items: int) -> CreateRequest:
    """What `parse` makes of the body, and raises, with less work."""
    if known:
        try:
            return _resumed(body, known, mark, most_items)
        except ValueError:
            known = None  # whatever is odd about it is for the parser of all of it to say
    return parse(body, most_items=most_items, mark=mark)


def _resumed(body: bytes, known: Beginning, mark: Mark, most_items: int) -> CreateRequest:
    """The create, with what is known of it. Raises NotPlain as `parse` does, ValueError where only that can tell."""
    text = unread(body, known)
    _ = text.isascii() or text.decode()
    shift = known.size - len(_AS_IF)
    rest = object_fields(text)
    array = rest.pop("input")
    fields = dict(known.fields)
    fields["input"] = fields["input"]._replace(end=array.end + shift)
    for name, (key, start, end) in rest.items():
        if name in fields:
            raise NotJson("a key is given twice")
        fields[name] = Field(key + shift, start + shift, end + shift)

    def items(_: Span) -> tuple[Span, ...]:
        new = array_spans(text, Span(array.start, array.end), most_items - known.count + 1)[1:]
        return known.items + tuple(Span(start + shift, end + shift) for start, end in new)

    return made(body, fields, items, known=known, mark=mark)


def _on(mark: Mark, view: memoryview, size: int) -> Mark:
    """A mark that has moved on to `size`, by all edges in between."""
    at, digest, shelf = mark.at, mark.digest.copy(), mark.shelf
    edge = _LEAST
    while edge <= size:
        if edge > at:
            digest.update(view[at:edge])
            at, shelf = edge, digest.digest()
        edge *= 2
    digest.update(view[at:size])
    return Mark(size, digest, shelf)


def _weight(shelf: dict[bytes, Beginning]) -> int:
    return sum(known.weight for known in shelf.values())
