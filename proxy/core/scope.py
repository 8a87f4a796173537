"""The scope of a history: everything outside `input` that must be equal for one turn to continue another."""

from msgpack import ExtType

from proxy.core.fingerprint import pack
from proxy.core.meaning import Json, Rules, read
from proxy.core.request import CreateRequest

# Settings that may differ between the turns of one chain: they are sent in full each time and change nothing in
# how the upstream reads the context that it holds. (Public clients change tool_choice from turn to turn.)
FREE = frozenset(
    {
        "tool_choice",
        "tools",
        "instructions",
        "max_output_tokens",
        "temperature",
        "top_p",
        "metadata",
        "client_metadata",
        "include",
        "stream",
        "stream_options",
        "text",
    }
)
FREE_REASONING = frozenset({"effort", "summary"})
# Where null is documented to mean the same as absent. Any other field counts as it is spelled.
NULLABLE = frozenset(
    {
        "background",
        "context_management",
        "conversation",
        "max_tool_calls",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "top_logprobs",
        "truncation",
        "user",
    }
)
# The names that may be shown. Any other is the caller's own word, and may be anything.
DOCUMENTED = NULLABLE | {"model", "image"}
OTHER = "another setting"
_DEFAULTS: dict[str, Json] = {"store": True, "background": False}


def scope(request: CreateRequest, rules: Rules, pool_key: bytes) -> bytes:
    """The bytes that open a request's chain of fingerprints. A setting that is ambiguous equals only its own bytes."""
    return pack([rules.match, rules.summaries_count, _counted(request)]) + pool_key


def owner(rules: Rules, pool_key: bytes) -> bytes:
    """Whose stored items these are: what one means depends on the rules that it is read by."""
    return pack([rules.match, rules.summaries_count]) + pool_key


def named(request: CreateRequest) -> dict[str, Json]:
    """The settings that count, by the names that may be shown: those that no document names stand together."""
    settings: dict[str, Json] = {}
    unnamed: dict[str, Json] = {}
    for name, value in _counted(request).items():
        (settings if name in DOCUMENTED else unnamed)[name] = value
    return {**settings, OTHER: unnamed} if unnamed else settings


def _counted(request: CreateRequest) -> dict[str, Json]:
    """The settings that must be equal, in the order of their names, with what their values mean."""
    counted: dict[str, Json] = {}
    for name in sorted(request.fields):
        if name == "input" or name in FREE:
            continue
        value = _setting(request.value(name))
        if name == "reasoning" and isinstance(value, dict):
            value = {key: value[key] for key in value if key not in FREE_REASONING} or None
        if name in NULLABLE and value in (None, _DEFAULTS.get(name)):
            continue
        counted[name] = value
    return counted


def _setting(raw: bytes) -> Json:
    try:
        return read(raw)
    except ValueError:
        return ExtType(2, raw)


def settings_size(request: CreateRequest) -> int:
    """The bytes of all values outside `input`: what a turn's token count has beside its items."""
    return sum(field.end - field.start for name, field in request.fields.items() if name != "input")
