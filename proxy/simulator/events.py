"""Events: the sequence in which the API streams an answer, from `response.created` to the terminal event."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

from proxy.simulator.prompt import Item
from proxy.simulator.response import Response

Event = dict[str, object]


def opening(response: Response) -> Iterator[Event]:
    """The two events that precede any output."""
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "response": response.described()}


def terminal(response: Response, output: Sequence[Item] | None = None) -> Event:
    """The last event; `output` replaces the response's own list of items in it."""
    described = response.described()
    if output is not None:
        described["output"] = list(output)
    return {"type": f"response.{response.status}", "response": described}


def output_events(output: Sequence[Item], delta_chars: int) -> Iterator[Event]:
    """The events of all items, each text in pieces of `delta_chars` characters."""
    for index, item in enumerate(output):
        yield {"type": "response.output_item.added", "output_index": index, "item": _begun(item)}
        place = {"item_id": item.get("id"), "output_index": index}
        for event in _item_events(item, delta_chars):
            yield {**event, **place}
        yield {"type": "response.output_item.done", "output_index": index, "item": dict(item)}


def rewritten(item: Item) -> Item:
    """The same item as some servers write it in the terminal event."""
    changed = {key: value for key, value in item.items() if key != "status"}
    changed["id"] = f"{item.get('id')}_0"
    encrypted = changed.get("encrypted_content")
    if isinstance(encrypted, str):
        changed["encrypted_content"] = encrypted[::-1]
    return changed


def obfuscate(event: Event, seed: int) -> Event:
    """A delta with the padding that hides its length from those who watch the line."""
    delta = event.get("delta")
    if not isinstance(delta, str):
        return event
    padding = blake2b(f"{seed}{delta}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return {**event, "obfuscation": padding[: 16 - len(delta) % 16]}


def _begun(item: Item) -> Event:
    """The item as `output_item.added` shows it: nothing said yet, encrypted content not complete."""
    begun = dict(item)
    if "status" in begun:
        begun["status"] = "in_progress"
    for key, empty in (("content", []), ("summary", []), ("arguments", ""), ("input", "")):
        if key in begun:
            begun[key] = empty
    encrypted = begun.get("encrypted_content")
    if isinstance(encrypted, str):
        begun["encrypted_content"] = encrypted[: len(encrypted) // 2]
    return begun


def _item_events(item: Item, size: int) -> Iterator[Event]:
    kind = item.get("type")
    if kind == "message":
        for index, part in enumerate(_parts(item.get("content"))):
            yield from _content_events(part, index, size)
    elif kind == "reasoning":
        for index, part in enumerate(_parts(item.get("summary"))):
            yield from _summary_events(part, index, size)
    elif kind == "function_call":
        yield from _text_events("response.function_call_arguments", "arguments", item.get("arguments"), size)
    elif kind == "custom_tool_call":
        yield from _text_events("response.custom_tool_call_input", "input", item.get("input"), size)
    elif kind == "web_search_call":
        for stage in ("in_progress", "searching", "completed"):
            yield {"type": f"response.web_search_call.{stage}"}


def _content_events(part: Item, index: int, size: int) -> Iterator[Event]:
    place = {"content_index": index}
    key = "refusal" if part.get("type") == "refusal" else "text"
    blank = {**part, key: ""}
    yield {"type": "response.content_part.added", **place, "part": blank}
    name = "response.refusal" if key == "refusal" else "response.output_text"
    for event in _text_events(name, key, part.get(key), size):
        yield {**event, **place, **({"logprobs": []} if key == "text" else {})}
    yield {"type": "response.content_part.done", **place, "part": dict(part)}


def _summary_events(part: Item, index: int, size: int) -> Iterator[Event]:
    place = {"summary_index": index}
    yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
    for event in _text_events("response.reasoning_summary_text", "text", part.get("text"), size):
        yield {**event, **place}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": dict(part)}


def _text_events(name: str, key: str, text: object, size: int) -> Iterator[Event]:
    whole = text if isinstance(text, str) else ""
    for start in range(0, len(whole), size):
        yield {"type": f"{name}.delta", "delta": whole[start : start + size]}
    yield {"type": f"{name}.done", key: whole}


def _parts(value: object) -> list[Mapping[str, object]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
