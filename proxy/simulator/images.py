"""Images: the policy by which those of one response are prepared, where it has any."""

from collections.abc import Sequence
from typing import Literal

from proxy.simulator.errors import invalid
from proxy.simulator.prompt import Item

Policy = Literal["enabled", "disabled"]

_ASKED = ("auto", "enabled", "disabled")
_PICTURES = ("input_image", "computer_screenshot")


def check_images(body: Item) -> None:
    """Raise RefusedError for a policy that is not documented."""
    options = body.get("image")
    asked = options.get("context_compression", "auto") if isinstance(options, dict) else "auto"
    if asked not in _ASKED:
        supported = ", ".join(map(repr, _ASKED))
        message = f"Invalid value: '{asked}'. Supported values are: {supported}."
        raise invalid(message, "image.context_compression", "invalid_value")


def policy(body: Item, context: Sequence[Item], transport: str) -> Policy | None:
    """The effective policy; None where nobody asks for one and there is no image.

    `auto` goes by the transport, as it is documented to: here images are compressed on a WebSocket alone.
    """
    options = body.get("image")
    if options is None and not _has_image(context):
        return None
    asked = options.get("context_compression", "auto") if isinstance(options, dict) else "auto"
    if asked == "auto":
        asked = "enabled" if transport == "ws" else "disabled"
    return "enabled" if asked == "enabled" else "disabled"


def _has_image(context: Sequence[Item]) -> bool:
    left: list[object] = list(context)
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if value.get("type") in _PICTURES:
                return True
            left += value.values()
        elif isinstance(value, list):
            left += value
    return False
