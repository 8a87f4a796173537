"""Usage: tokens counted from the prompt text, and the provider's own prompt cache that makes some cheaper."""

import sys
from collections.abc import Sequence

import msgspec
from cachetools import LRUCache

from proxy.simulator.prompt import Item, shown
from proxy.simulator.response import Usage

_BYTES_PER_TOKEN = 4
_BLOCK = 128


def tokens(text: bytes) -> int:
    """Tokens of a text: a quarter of its bytes, rounded up."""
    return -(-len(text) // _BYTES_PER_TOKEN)


class PromptCache:
    """The last prompt of each cache key: what a prompt has in common with it, from the start, is cached."""

    def __init__(self) -> None:
        self._last: LRUCache[str, bytes] = LRUCache(1_000)

    def usage(self, request: Item, prompt: str, output: Sequence[Item]) -> Usage:
        """Count a turn, and keep its prompt for the next one with the same key."""
        text = shown(prompt).encode("utf-8", "surrogatepass")
        conversation = request.get("conversation")
        key = repr((request.get("prompt_cache_key"), conversation))
        common = _common_prefix(self._last.get(key, b""), text)
        self._last[key] = text
        thoughts = [item for item in output if item.get("type") == "reasoning"]
        limit = request.get("max_output_tokens")
        most = (
            limit if isinstance(limit, int) else sys.maxsize
        )  # what was cut short is written whole, and counted as cut
        return Usage(
            input=tokens(text),
            cached=common // _BYTES_PER_TOKEN // _BLOCK * _BLOCK,
            output=min(most, sum(tokens(msgspec.json.encode(item)) for item in output)),
            reasoning=min(most, sum(tokens(msgspec.json.encode(item)) for item in thoughts)),
        )


def _common_prefix(one: bytes, other: bytes) -> int:
    """Length of the common prefix, by halving: comparing slices is quick, comparing bytes one by one is not."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
