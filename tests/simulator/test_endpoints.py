"""The API around the responses."""

import json

from tests.simulator.wire import KEY, Running


async def test_models_are_listed(running: Running) -> None:
    """`GET /v1/models` is a list of models."""
    status, listed = await running.json("GET", "/v1/models")
    assert (status, listed["object"]) == (200, "list")
    assert all(model["object"] == "model" for model in listed["data"])


async def test_stored_responses_are_fetched_and_deleted(running: Running) -> None:
    """A stored response is there word for word until it is deleted; others are not found."""
    _, created = await running.create(input=["x"] and "x")
    path = f"/v1/responses/{created['id']}"
    assert (await running.json("GET", path))[1]["output"] == created["output"]
    _, items = await running.json("GET", f"{path}/input_items")
    assert [item["content"] for item in items["data"]] == ["x"]
    assert items["first_id"] == items["last_id"] == items["data"][0]["id"]
    assert await running.json("DELETE", path) == (
        200,
        {"id": created["id"], "object": "response", "deleted": True},
    )
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
        status, body = await running.json(method, path + tail)
        assert (status, body["error"]["type"]) == (404, "invalid_request_error")


async def test_compaction_keeps_the_users_words(running: Running) -> None:
    """Compaction answers with the user's messages and one item that depends on all the rest."""
    said = {"role": "assistant", "content": "b"}
    body = {"model": "m", "input": [{"role": "user", "content": "a"}, said]}
    status, compacted = await running.json("POST", "/v1/responses/compact", body)
    assert (status, compacted["object"]) == (200, "response.compaction")
    assert [item.get("type", "message") for item in compacted["output"]] == ["message", "compaction"]
    body["input"] = [{"role": "user", "content": "a"}, {**said, "content": "c"}]
    assert (await running.json("POST", "/v1/responses/compact", body))[1]["output"] != compacted["output"]
    assert (await running.json("POST", "/v1/responses/compact", {"input": "x"}))[0] == 400
    assert (await running.json("POST", "/v1/responses/compact", b"{"))[0] == 400


async def test_chat_completions_are_answered(running: Running) -> None:
    """A small valid completion; its stream says the same and ends with [DONE]."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": False}
    status, whole = await running.json("POST", "/v1/chat/completions", body)
    assert (status, whole["object"]) == (200, "chat.completion")
    assert whole["choices"][0]["finish_reason"] == "stop"
    data = json.dumps({**body, "stream": True})
    async with running.http.post(f"{running.base}/chat/completions", data=data, headers=KEY) as answer:
        *blocks, done, rest = (await answer.read()).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [json.loads(block.removeprefix(b"data: "))["choices"][0] for block in blocks]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks).startswith("Café ✓ ")
    assert chunks[-1]["finish_reason"] == "stop"
    assert (await running.json("POST", "/v1/chat/completions", {}))[0] == 400
