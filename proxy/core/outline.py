"""An outline: a digest for each part of an item that has a documented name, so that two items can be told apart by it.

A name that the API does not document is the caller's own word: it is never kept, and stands under its parent's name.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from proxy.core.meaning import ITEM_KEYS, PART_LISTS, Json, Object, kind_of, part_keys

LEAF = 8
"""The bytes of a digest."""
OTHER = "other"
"""The type of an item that is of no documented one."""
ANOTHER = "another key"
"""The name of all keys that are not documented, together."""
# Parts of one list that have names of their own; the others are the list's.
_MOST_PARTS = 16
# Types that are documented beside those whose meaning is known here, and the keys that they and others have.
_HOSTED = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_summary",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "context_compaction",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
_HOSTED_KEYS = frozenset(
    {
        "action",
        "approval_request_id",
        "approve",
        "arguments",
        "call_id",
        "code",
        "container_id",
        "content",
        "encrypted_content",
        "error",
        "id",
        "name",
        "operation",
        "output",
        "outputs",
        "queries",
        "reason",
        "result",
        "results",
        "role",
        "server_label",
        "status",
        "summary",
        "tools",
        "type",
    }
)
# What beside encrypted_content may count for nothing.
_LABELS = ("id", "summary")


class Outline(NamedTuple):
    """An item's type, the documented paths in it, and a digest of what stands at each."""

    kind: str
    paths: tuple[str, ...] = ()
    digests: bytes = b""

    @property
    def parts(self) -> dict[str, bytes]:
        """The digest at each path."""
        return {path: self.digests[at * LEAF : (at + 1) * LEAF] for at, path in enumerate(self.paths)}

    def differs(self, other: "Outline") -> tuple[str, ...]:
        """The paths at which the two items differ. A part of a list that differs as a whole is not named again."""
        mine, others = self.parts, other.parts
        paths = [path for path in dict.fromkeys((*mine, *others)) if mine.get(path) != others.get(path)]
        if "encrypted_content" in paths:
            # Beside it the id and the summary may count for nothing: where it went or came, so did they.
            paths = [path for path in paths if (path in mine and path in others) or not path.startswith(_LABELS)]
        return tuple(path for path in paths if not any(path.startswith((f"{above}[", f"{above}.")) for above in paths))


def shown(kind: str) -> str:
    """The type as it may be shown."""
    return kind if kind in ITEM_KEYS or kind in _HOSTED else OTHER


def leaves(item: Object) -> Iterator[tuple[str, Json]]:
    """What an item's meaning has at each documented path: all of it, but for the order of undocumented items' keys."""
    kind = kind_of(item)
    known = ITEM_KEYS.get(kind)
    documented = _HOSTED_KEYS if known is None else known
    rest: Object = {}
    for key, value in item.items():
        if key not in documented:
            rest[key] = value
        elif known and key in PART_LISTS and isinstance(value, list):
            yield from _parts(key, value)
        else:
            yield key, value
    if rest:
        yield ANOTHER, rest


def _parts(name: str, parts: list[Json]) -> Iterable[tuple[str, Json]]:
    yield name, [str(len(parts)), parts[_MOST_PARTS:]]
    for at, part in enumerate(parts[:_MOST_PARTS]):
        path = f"{name}[{at}]"
        documented = part_keys(part) if isinstance(part, dict) else None
        if not documented or not isinstance(part, dict):
            yield path, part
            continue
        rest: Object = {}
        for key, value in part.items():
            if key in documented:
                yield f"{path}.{key}", value
            else:
                rest[key] = value
        if rest:
            yield path, rest
