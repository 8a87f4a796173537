"""Fingerprints: keyed digests of a conversation's prefixes, one per item. They are kept; the texts are not."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import cachetools
import msgpack

from proxy.core.meaning import Json, Reference, Rules, meaning

SIZE = 16


def pack(value: Json) -> bytes:
    """One byte string per value: numbers stay text, lone surrogates survive."""
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


class Fingerprints:
    """Digests under one secret key: what one key made says nothing to, and never equals, another's."""

    def __init__(self, key: bytes, *, remembered: int = 65_536) -> None:
        self._key = key
        # The digest of an item's bytes → what it means: histories come again at every turn, word for word.
        self._known: cachetools.LRUCache[tuple[bytes, Rules], bytes | Reference] = cachetools.LRUCache(remembered)

    def digest(self, *parts: bytes) -> bytes:
        """The keyed digest of the parts, each of which counts with its length."""
        state = hashlib.blake2b(key=self._key, digest_size=SIZE)
        for part in parts:
            state.update(len(part).to_bytes(8, "big"))
            state.update(part)
        return state.digest()

    def item(self, raw: bytes, rules: Rules) -> bytes | Reference:
        """The digest of what the item means. One that may be read in two ways equals only its own bytes."""
        known = (self.digest(raw), rules)
        found = self._known.get(known)
        if found is None:
            try:
                meant = meaning(raw, rules)
            except ValueError:
                found = self.digest(b"bytes", raw)
            else:
                found = meant if isinstance(meant, Reference) else self.meant(meant)
            self._known[known] = found
        return found

    def meant(self, value: Json) -> bytes:
        """The digest of a meaning."""
        return self.digest(b"meaning", pack(value))

    def extend(self, prefix: bytes, items: Iterable[bytes]) -> list[bytes]:
        """The digests of `prefix` followed by each of the items."""
        chain: list[bytes] = []
        for item in items:
            prefix = self.digest(prefix, item)
            chain.append(prefix)
        return chain

    def chain(
        self, scope: bytes, items: Sequence[bytes], rules: Rules, named: Callable[[str], bytes | None]
    ) -> list[bytes]:
        """`d[0]` … `d[n]` of a request's items; `named` tells what the item with an id means, where it is known."""
        return [scope, *self.extend(scope, (self._resolve(self.item(raw, rules), named) for raw in items))]

    def _resolve(self, item: bytes | Reference, named: Callable[[str], bytes | None]) -> bytes:
        if isinstance(item, bytes):
            return item
        return named(item.id) or self.digest(b"reference", item.id.encode("utf-8", "surrogatepass"))
