"""Advice: what can be done about a turn that was no delta, or that came to a bad end; one line, or none."""

from collections.abc import Mapping
from types import MappingProxyType

from proxy.cli.turns import Turn, Why
from proxy.core.reasons import Passed, Plain, Whole
from proxy.turns.outcome import End

_ALL_OF_IT = "Send back all that the model said, unchanged and in its order: docs/clients.md."
_RARE = "Nothing to do, unless it is frequent: then see what closes connections on the way (openline doctor)."
_WAY = "See what is in the way: openline doctor."

# By what the comparison found: the kind of explanation, or, ahead of it, what has happened to the item.
BY_KIND: Mapping[str, str] = MappingProxyType(
    {
        "reasoning left out": "Send the reasoning items back too: docs/clients.md; --match relaxed does without.",
        "item changed": "Send it back as it came (docs/clients.md); --match relaxed overlooks some differences.",
        "item": _ALL_OF_IT,
        "setting": "For deltas it has to be the same in each turn of a conversation.",
        "connection": _RARE,
    }
)
# By the reason, where no comparison found more.
BY_REASON: Mapping[str, str] = MappingProxyType(
    {
        Whole.HOST_UNVERIFIED: "Ask the host again by `openline doctor`; upstream.verifies_ids can say what is known.",
        Whole.CONTEXT_SUSPECT: "Write an issue with what `openline report` prints: this host cannot be relied on.",
        Whole.EVICTED: "If it is frequent, raise heads.max_count or pool.max_connections.",
        Whole.HIDDEN_REASONING: 'Ask for `include: ["reasoning.encrypted_content"]`, or leave `store` on.',
        Whole.TRUNCATION: "For deltas leave `truncation` out.",
        Plain.MODE_OFF: "For deltas: `openline mode on`, and callers that do not ask for `off`.",
        Plain.SEMANTIC_HEADER: "For deltas, have the caller leave that header out; docs/headers.md has all of them.",
        Plain.IMAGES: "For deltas, have the caller fix image.context_compression, or set upstream.images to socket:"
        " docs/settings.md.",
        Plain.NO_WEBSOCKET: _WAY,
        Plain.UPGRADE_REFUSED: _WAY,
        Plain.DIAL_FAILED: _WAY,
        Plain.BREAKER_OPEN: _WAY,
        Plain.POOL_FULL: "If it is frequent, raise pool.max_connections or pool.wait_seconds.",
        Plain.NO_DESCRIPTOR: "Raise the limit of open files (ulimit -n).",
        Plain.OVERSIZE: "Nothing to do: such a turn goes over plain HTTP.",
        Passed.OWN_STATE: "For deltas, send the whole history, and none of the three.",
        Passed.SOCKET_FIELDS: "For deltas, leave these fields out.",
    }
)


def advice(turn: Turn) -> str:
    """What can be done about it; empty where nothing is to be done, or nothing is known."""
    why = turn.why or Why()
    if why.kind == "item" and why.item is None:  # it ends early: an undo, say, or a retry
        return ""
    if why.kind in {"item", "setting"} and turn.reason != Whole.TRUNCATION:
        return BY_KIND[_found(why)]
    return BY_REASON.get(turn.reason or "", BY_KIND.get(why.kind, ""))


def consequence(turn: Turn) -> str:
    """What a bad end means; empty for any other."""
    if turn.end == End.CUT:
        return "The caller saw its answer break off: it has to send the turn again."
    if turn.end != End.ERROR:
        return ""
    return f"The caller got {turn.status} for an answer." if turn.status >= 400 else "The answer ended with an error."


def _found(why: Why) -> str:
    """What has happened to the item."""
    if why.kind == "item" and why.paths:
        return "item changed"
    return "reasoning left out" if (why.kind, why.item_type) == ("item", "reasoning") else why.kind
