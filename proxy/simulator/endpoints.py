"""Endpoints: the parts of the API around `POST /v1/responses`."""

import secrets
import time
from hashlib import blake2b

import msgspec
from aiohttp import web

from proxy.simulator.answers import api_headers, error_answer, json_answer
from proxy.simulator.bodies import decompress, parse
from proxy.simulator.errors import ApiError, RefusedError
from proxy.simulator.host import Host
from proxy.simulator.images import policy
from proxy.simulator.prompt import items_of, render, shown
from proxy.simulator.response import Usage
from proxy.simulator.usage import tokens
from proxy.simulator.validation import check_fields, check_items

MODELS = ("gpt-5.4", "gpt-5.4-mini", "gpt-6-astra")


def models() -> web.Response:
    """`GET /v1/models`."""
    listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "simulator"} for name in MODELS]
    return json_answer({"object": "list", "data": listed})


def stored_response(host: Host, method: str, identifier: str) -> web.Response:
    """`GET` and `DELETE /v1/responses/{id}`."""
    stored = host.store.find(identifier)
    if stored is None:
        return error_answer(ApiError(404, f"Response with id '{identifier}' not found."))
    if method == "DELETE":
        host.store.remove(identifier)
        return json_answer({"id": identifier, "object": "response", "deleted": True})
    return json_answer(stored.response)


def input_items(host: Host, identifier: str) -> web.Response:
    """`GET /v1/responses/{id}/input_items`, newest first as the API lists them."""
    stored = host.store.find(identifier)
    if stored is None:
        return error_answer(ApiError(404, f"Response with id '{identifier}' not found."))
    items = [
        item if item.get("id") else {**item, "id": f"item_{identifier[5:21]}_{index}"}
        for index, item in enumerate(stored.input_items)
    ][::-1]
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return json_answer({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": False})


def compact(raw: bytes, encoding: str) -> web.Response:
    """`POST /v1/responses/compact`: the user's messages and one compaction item that stands for the rest."""
    try:
        body = parse(decompress(raw, encoding))
        check_fields(body)
        check_items(body.get("input"))
    except RefusedError as refused:
        return error_answer(refused.error)
    items = items_of(body.get("input"))
    prompt = shown(render(body, items)).encode("utf-8", "surrogatepass")
    digest = blake2b(prompt, digest_size=24).hexdigest()
    kept = [item for item in items if item.get("role") == "user"]
    compaction = {"id": f"cmp_{digest}", "type": "compaction", "encrypted_content": f"gAAAAA{digest * 3}"}
    images = policy(body, items, "http")
    return json_answer(
        {
            "id": f"resp_{secrets.token_hex(24)}",
            "object": "response.compaction",
            **({"image": {"context_compression": images}} if images else {}),
            "created_at": int(time.time()),
            "output": [*kept, compaction],
            "usage": Usage(input=tokens(prompt), output=16).described(),
        }
    )


async def chat(request: web.BaseRequest, raw: bytes) -> web.StreamResponse:
    """`POST /v1/chat/completions`: a small valid answer that quotes a digest of the body."""
    try:
        body = parse(decompress(raw, request.headers.get("Content-Encoding", "")))
        check_fields({"model": body.get("model"), "input": ""})
    except RefusedError as refused:
        return error_answer(refused.error)
    text = f"Café ✓ {blake2b(raw, digest_size=8).hexdigest()}"
    common: dict[str, object] = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": body["model"],
    }
    if body.get("stream") is True:
        return await _chat_stream(request, {**common, "object": "chat.completion.chunk"}, text)
    message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": tokens(raw), "completion_tokens": 8, "total_tokens": tokens(raw) + 8}
    return json_answer({**common, "object": "chat.completion", "choices": [choice], "usage": usage})


async def _chat_stream(request: web.BaseRequest, common: dict[str, object], text: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={**api_headers(), "Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
    deltas += ({"content": text[start : start + 8]} for start in range(0, len(text), 8))
    for delta in [*deltas, None]:
        finish = None if delta else "stop"
        choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
        await response.write(b"data: %b\n\n" % msgspec.json.encode({**common, "choices": [choice]}))
    await response.write(b"data: [DONE]\n\n")
    return response
