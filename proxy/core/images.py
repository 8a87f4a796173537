"""Images: whether a request holds any, and leaves to the host how they are prepared, which may go by the transport."""

from proxy.core.meaning import Json, read
from proxy.core.request import CreateRequest

# What holds an image, or may, beside all that has the word in its type: `input_image`, `image_generation_call`, the
# `image` of a code interpreter. Of a PDF the model is shown a picture of each page, and what a reference stands for
# only the upstream knows.
_HOLDERS = frozenset({"computer_call_output", "computer_screenshot", "input_file", "item_reference"})
# The policies that are the same over every transport.
_FIXED = ("enabled", "disabled")


def left_to_host(request: CreateRequest) -> bool:
    """Whether the same request could be given other images over another transport. In doubt it could."""
    return not _fixed(request.value("image")) and any(map(_holds, request.raw_items()))


def _fixed(options: bytes) -> bool:
    """Whether the request's own `image` says how."""
    try:
        said = read(options) if options else None
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("context_compression") in _FIXED


def _holds(raw: bytes) -> bool:
    """Whether an item holds an image, wherever in it. In doubt it does."""
    try:
        item = read(raw)
    except ValueError:
        return True
    if not isinstance(item, dict) or not isinstance(item.get("role" if item.get("type") is None else "type"), str):
        return True  # it says not what it is; with an id, that is a reference
    left: list[Json] = [item]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and ("image" in kind or kind in _HOLDERS):
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False
