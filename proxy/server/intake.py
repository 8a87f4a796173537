"""An intake: what the body of a `POST /v1/responses` turns out to be, a plain create or something to pass through."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from proxy.config import Limits
from proxy.core.beginnings import Beginnings, read, unread
from proxy.core.coding import NotDecodable, TooLarge
from proxy.core.reasons import Passed
from proxy.core.request import CreateRequest, NotPlain
from proxy.server.body import decode, is_deeper, is_fuller

# Each may take twice limits.body_bytes of memory.
_UNPACKED_AT_ONCE = 2
# Real items have fewer, on average; a few large tools do not matter.
_VALUES_AN_ITEM = 10


class Intake:
    """Parses bodies within limits.

    Unpacking takes a thread, and few at a time: a bomb holds up nobody but its kind. The threads are its own: one works
    on when its caller has gone, and must not make room for another meanwhile.
    """

    def __init__(self) -> None:
        self._unpacking = ThreadPoolExecutor(_UNPACKED_AT_ONCE, "unpacking")

    async def create(self, raw: bytes, encodings: str, limits: Limits, beginnings: Beginnings) -> CreateRequest:
        """The create that a body is. Raises NotPlain."""
        plain = await self._unpacked(raw, encodings, limits.body_bytes) if encodings else raw
        return _parsed(plain, limits, beginnings)

    async def _unpacked(self, raw: bytes, encodings: str, limit: int) -> bytes:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._unpacking, decode, raw, encodings, limit)
        except (NotDecodable, TooLarge) as error:
            raise NotPlain(Passed.ODD_BODY) from error


def _parsed(plain: bytes, limits: Limits, beginnings: Beginnings) -> CreateRequest:
    known, mark = beginnings.match(plain)
    text = unread(plain, known)  # what is known was found to be within the limits
    if is_fuller(text, _VALUES_AN_ITEM * limits.items):
        raise NotPlain(Passed.ODD_BODY)
    create = read(plain, known, mark, most_items=limits.items)
    if is_deeper(text, limits.depth):
        raise NotPlain(Passed.ODD_BODY)
    return create
