"""A prepared answer: the events of one response as they are sent, so that who sends them does no work meanwhile."""

import functools
import json
from collections.abc import Iterator, Sequence

_TEXT = "response.output_text"
_ITEM = "msg_0123456789abcdef0123456789abcdef0123456789abcdef"
_EVENT_BYTES = 290
"""Of one piece of text, as the API sends it: most of it are names, ids and padding."""


def answer(response: str, pieces: int, lane: str | None = None) -> Iterator[bytes]:
    """Every event of a response whose text comes in so many pieces."""
    yield from _before(response, lane)
    yield from _pieces(pieces, lane)
    yield from _after(response, pieces + 4, lane)


def item() -> dict[str, object]:
    """What every answer says."""
    return _item("completed", _part("words"))


def refusal(previous: str, lane: str | None = None) -> bytes:
    """What is said to a create that goes on from a response that nobody knows."""
    message = f"Previous response with id '{previous}' not found."
    error = {"type": "invalid_request_error", "code": "previous_response_not_found", "message": message}
    return _written("error", lane, status=400, error=error)


def websocket(event: bytes, *, deflated: bool = False) -> bytes:
    """A frame of a server's: one whole text message (RFC 6455, 5.2)."""
    first, size = 0xC1 if deflated else 0x81, len(event)
    if size < 126:
        return bytes((first, size)) + event
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + event
    return bytes((first, 127)) + size.to_bytes(8, "big") + event


def sse(event: bytes) -> bytes:
    """As the API frames it over HTTP."""
    return b"event: " + event[9 : event.index(b'"', 9)] + b"\ndata: " + event + b"\n\n"


def _before(response: str, lane: str | None) -> Iterator[bytes]:
    begun: dict[str, object] = {
        "id": response,
        "object": "response",
        "status": "in_progress",
        "previous_response_id": None,
    }
    begun["output"] = []
    yield _written("response.created", lane, sequence_number=0, response=begun)
    yield _written("response.in_progress", lane, sequence_number=1, response=begun)
    yield _written("response.output_item.added", lane, sequence_number=2, output_index=0, item=_item("in_progress"))
    place = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
    yield _written("response.content_part.added", lane, sequence_number=3, **place, part=_part(""))


@functools.lru_cache(8)
def _pieces(count: int, lane: str | None) -> Sequence[bytes]:
    return [_piece(number, lane) for number in range(4, 4 + count)]


def _piece(number: int, lane: str | None) -> bytes:
    place = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
    text: dict[str, object] = {"delta": " word", "logprobs": [], "obfuscation": ""}
    bare = _written(f"{_TEXT}.delta", lane, sequence_number=number, **place, **text)
    text["obfuscation"] = "x" * (_EVENT_BYTES - len(bare))
    return _written(f"{_TEXT}.delta", lane, sequence_number=number, **place, **text)


def _after(response: str, number: int, lane: str | None) -> Iterator[bytes]:
    place = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
    yield _written(f"{_TEXT}.done", lane, sequence_number=number, **place, text="words")
    yield _written("response.content_part.done", lane, sequence_number=number + 1, **place, part=_part("words"))
    yield _written("response.output_item.done", lane, sequence_number=number + 2, output_index=0, item=item())
    usage = {"input_tokens": 1_000_000, "output_tokens": number, "total_tokens": 1_000_000 + number}
    ended = {"id": response, "object": "response", "status": "completed", "store": False, "output": [item()]}
    ended |= {"previous_response_id": None, "usage": usage}
    yield _written("response.completed", lane, sequence_number=number + 3, response=ended)


def _item(status: str, *parts: object) -> dict[str, object]:
    return {"id": _ITEM, "type": "message", "status": status, "role": "assistant", "content": list(parts)}


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _written(kind: str, lane: str | None, **fields: object) -> bytes:
    named = {} if lane is None else {"stream_id": lane}
    return json.dumps({"type": kind, **fields, **named}, separators=(",", ":")).encode()
