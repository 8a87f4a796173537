"""Fingerprints: keyed digests of a conversation's prefixes, one per item. They are kept; the texts are not."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import cachetools
import msgpack

from proxy.core.forms import labelled
from proxy.core.meaning import Json, Object, Reference, Rules, kind_of, meaning
from proxy.core.outline import LEAF, OTHER, Outline, leaves, shown

SIZE = 16
# Of a history that is new as a whole, so many of the last items are outlined.
_OUTLINED = 64
# The paths that an outline counts for at least. Most have five; those of odd shapes have a hundred and more, which take
# a hundred bytes each where no other item has the same ones.
_PATHS = 8


def pack(value: Json) -> bytes:
    """One byte string per value: numbers stay text, lone surrogates survive."""
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


class Fingerprints:
    """Digests under one secret key: what one key made says nothing to, and never equals, another's."""

    def __init__(self, key: bytes, *, remembered: int = 65_536, outlined: int = 8_192) -> None:
        # A keyed state to begin from costs half of what keying it anew does.
        self._empty = hashlib.blake2b(key=key, digest_size=SIZE)
        self._leaf = hashlib.blake2b(key=key, digest_size=LEAF)
        # The digest of an item's bytes → what it means: histories come again at every turn, word for word.
        self._known: cachetools.LRUCache[tuple[bytes, Rules], bytes | Reference] = cachetools.LRUCache(remembered)
        # What an item means → its outline: of those that came last, as it is they that differ.
        # So many outlines at most, and 65,536 paths in all of them: three megabytes, and eight whatever their shapes.
        self._outlines: cachetools.FIFOCache[bytes, Outline] = cachetools.FIFOCache(outlined * _PATHS, _size)
        # Items of one kind have the same paths: one copy of them.
        self._paths: cachetools.FIFOCache[tuple[str, ...], tuple[str, ...]] = cachetools.FIFOCache(8_192, len)

    def digest(self, *parts: bytes) -> bytes:
        """The keyed digest of the parts, each of which counts with its length."""
        state = self._empty.copy()
        for part in parts:
            state.update(len(part).to_bytes(8, "big"))
            state.update(part)
        return state.digest()

    def item(self, raw: bytes, rules: Rules, *, outlined: bool = False) -> bytes | Reference:
        """The digest of what the item means. One that may be read in two ways equals only its own bytes."""
        known = (self.digest(raw), rules)
        found = self._known.get(known)
        if found is None:
            try:
                meant = meaning(raw, rules)
            except ValueError:
                found = self.digest(b"bytes", raw)
            else:
                found = meant if isinstance(meant, Reference) else self.meant(meant, outlined=outlined)
            self._known[known] = found
        return found

    def meant(self, value: Json, *, outlined: bool = False) -> bytes:
        """The digest of a meaning. It is known by its outline, too, if it is to be."""
        digest = self.digest(b"meaning", pack(value))
        if outlined and isinstance(value, dict) and digest not in self._outlines:
            self._outlines[digest] = self._outline(value)
        return digest

    def items(self, raws: Sequence[bytes], rules: Rules, named: Callable[[str], bytes | None]) -> list[bytes]:
        """What each item of a history means; `named` tells what the item with an id means, where it is known."""
        early, late = raws[:-_OUTLINED], raws[-_OUTLINED:]
        meant = [self.item(raw, rules) for raw in early] + [self.item(raw, rules, outlined=True) for raw in late]
        return [item if isinstance(item, bytes) else self._resolve(item, named) for item in meant]

    def refers(self, raw: bytes, rules: Rules) -> bool:
        """Whether the item is a reference: what that means depends on what is known of others."""
        return isinstance(self.item(raw, rules), Reference)

    def extend(self, prefix: bytes, items: Iterable[bytes]) -> list[bytes]:
        """The digests of `prefix` followed by each of the items."""
        chain: list[bytes] = []
        for item in items:
            prefix = self.digest(prefix, item)
            chain.append(prefix)
        return chain

    def chain(self, scope: bytes, items: Iterable[bytes]) -> list[bytes]:
        """`d[0]` … `d[n]` of a request, by what its items mean."""
        return [scope, *self.extend(scope, items)]

    def outline(self, item: bytes) -> Outline | None:
        """The outline of the item with this meaning, if it came not long ago."""
        return self._outlines.get(item)

    def outlined(self, raw: bytes, rules: Rules) -> Outline:
        """The outline of an item that is at hand. Of one without a meaning of its own the type is all there is."""
        try:
            meant = meaning(raw, rules)
        except ValueError:
            return Outline(shown(labelled(raw)))
        if isinstance(meant, Reference):
            return Outline("item_reference")
        return self._outline(meant) if isinstance(meant, dict) else Outline(OTHER)

    def _outline(self, item: Object) -> Outline:
        paths: list[str] = []
        digests: list[bytes] = []
        for path, value in leaves(item):
            state = self._leaf.copy()
            state.update(b"t" + value.encode("utf-8", "surrogatepass") if isinstance(value, str) else pack([value]))
            paths.append(path)
            digests.append(state.digest())
        names = tuple(paths)
        return Outline(shown(kind_of(item)), self._paths.setdefault(names, names), b"".join(digests))

    def _resolve(self, item: Reference, named: Callable[[str], bytes | None]) -> bytes:
        return named(item.id) or self.digest(b"reference", item.id.encode("utf-8", "surrogatepass"))


def _size(outline: Outline) -> int:
    return max(_PATHS, len(outline.paths))
