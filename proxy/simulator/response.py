"""Response: the response object of one turn, with the request's settings echoed as the API echoes them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proxy.simulator.images import Policy
from proxy.simulator.prompt import Item

_DEFAULTS: Mapping[str, object] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}


@dataclass(frozen=True)
class Usage:
    """Tokens of one turn."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def described(self) -> dict[str, object]:
        """As the API writes it."""
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@dataclass(frozen=True)
class Response:
    """One response at one moment. `store` is what the host makes of the request's wish, and so is `images`."""

    id: str
    request: Item
    store: bool
    created_at: int
    status: str = "in_progress"
    output: Sequence[Item] = ()
    usage: Usage | None = None
    error: Item | None = None
    incomplete_reason: str | None = None
    images: Policy | None = None

    def ended(self, status: str, output: Sequence[Item], usage: Usage) -> "Response":
        """The same response, ended."""
        return replace(self, status=status, output=tuple(output), usage=usage)

    def described(self) -> dict[str, object]:
        """The object that events and JSON answers carry."""
        request = self.request
        details = {"reason": self.incomplete_reason} if self.incomplete_reason else None
        echoed = {key: default if request.get(key) is None else request[key] for key, default in _DEFAULTS.items()}
        described: dict[str, object] = {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": self.status,
            "completed_at": int(time.time()) if self.status == "completed" else None,
            "error": self.error,
            "incomplete_details": details,
            "model": request.get("model"),
            "output": list(self.output),
            "previous_response_id": request.get("previous_response_id"),
            "reasoning": {"effort": None, "summary": None, **_object(request.get("reasoning"))},
            "store": self.store,
            "text": {"format": {"type": "text"}, "verbosity": "medium", **_object(request.get("text"))},
            "usage": self.usage.described() if self.usage else None,
            **echoed,
        }
        conversation = request.get("conversation")
        if conversation is not None:
            described["conversation"] = {"id": conversation} if isinstance(conversation, str) else conversation
        if self.images is not None:
            described["image"] = {"context_compression": self.images}
        if request.get("prompt") is not None:
            described["prompt"] = request["prompt"]
        return described


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
