"""The real `openai` SDK as an independent judge."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.responses import FunctionToolParam, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.simulator.wire import Running

TOOL: FunctionToolParam = {
    "type": "function",
    "name": "look",
    "strict": False,
    "parameters": {"type": "object", "properties": {"key": {"type": "string"}}},
}
TEXT = "go [[rounds=1 calls=2 reasoning=1 phase=1]]"


@pytest.fixture
async def client(running: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of the simulator."""
    async with openai.AsyncOpenAI(base_url=running.base, api_key="key", max_retries=0) as made:
        yield made


async def test_create(client: openai.AsyncOpenAI, running: Running) -> None:
    """A tool round and its answer, with the SDK's own objects sent back."""
    first = await client.responses.create(model="m", input=TEXT, tools=[TOOL], include=["reasoning.encrypted_content"])
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call", "function_call"]
    calls = [item for item in first.output if item.type == "function_call"]
    second = await client.responses.create(
        model="m",
        tools=[TOOL],
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "x"} for call in calls],
    )
    assert second.output_text.startswith("Café ✓ prompt ")
    assert second.usage is not None
    assert second.usage.input_tokens == -(-len((running.last.prompt or "").encode()) // 4)
    assert (await client.responses.retrieve(first.id)).id == first.id


async def test_every_event_validates(client: openai.AsyncOpenAI, running: Running) -> None:
    """Each event of a rich answer satisfies the SDK's model of it, strictly."""
    adapter: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    for fields in ({"tools": [TOOL]}, {"tools": [{"type": "custom", "name": "run"}]}, {}):
        events = await running.stream(input=TEXT + " [[hosted=1]]", include=["reasoning.encrypted_content"], **fields)
        for event in events:
            assert adapter.validate_python(event).type == event["type"]
    stream = await client.responses.create(model="m", input=TEXT, tools=[TOOL], stream=True)
    assert [event.type async for event in stream][-1] == "response.completed"


async def test_the_stream_helper(client: openai.AsyncOpenAI) -> None:
    """The helper puts the same response together from the events as the terminal event holds."""
    async with client.responses.stream(model="m", input=TEXT) as stream:
        text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert final.output_text == text


async def test_websocket_mode(client: openai.AsyncOpenAI) -> None:
    """The SDK's own connection: a warm-up, a turn, a continuation, an error."""
    async with client.responses.connect() as connection:
        previous: str | None = None
        for generate in (False, True, True):
            await connection.response.create(model="m", input="hi", previous_response_id=previous, generate=generate)
            async for event in connection:
                if event.type == "response.completed":
                    previous = event.response.id
                    break
        await connection.response.create(model="m", input="x", previous_response_id="resp_x")
        event = await connection.recv()
        assert event.type == "error"


async def test_errors_become_the_sdks_exceptions(client: openai.AsyncOpenAI, running: Running) -> None:
    """Status and code arrive as the SDK's typed errors."""
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m", input="x", previous_response_id="resp_x")
    assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp_x")
    with pytest.raises(openai.AuthenticationError):
        await client.responses.create(model="m", input="x", extra_headers={"Authorization": "Basic x"})
    assert len(running.sim.journal) == 1


async def test_the_rest_of_the_api(client: openai.AsyncOpenAI) -> None:
    """Models, chat completions and compaction satisfy the SDK."""
    assert [model.id async for model in client.models.list()]
    chat = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert chat.choices[0].message.content
    stream = await client.chat.completions.create(model="m", messages=[], stream=True)
    assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
    compacted = await client.responses.compact(model="gpt-5.4", input="x")
    assert compacted.output[-1].type == "compaction"
