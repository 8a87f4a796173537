"""An agent on the real `openai` SDK, run as a script: `python -m tests.e2e.agent WAY AGENTS ROUNDS BASE_URL`.

WAY is how it calls the API; each of the AGENTS has a key of its own and takes ROUNDS tool rounds.
Prints one JSON object: how each one ended.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import cast

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsBase

_TOOL: ToolParam = {
    "type": "function",
    "name": "lookup",
    "strict": False,
    "parameters": {"type": "object", "properties": {"key": {"type": "string"}, "n": {"type": "integer"}}},
}
History = list[ResponseInputItemParam]


def _begin(name: str, rounds: int) -> History:
    text = f"I am {name}. [[rounds={rounds} calls=2 reasoning=1 phase=1]]"
    return [{"role": "user", "content": text}]


def _request(history: Sequence[ResponseInputItemParam]) -> ResponseCreateParamsBase:
    return {
        "model": "gpt-5.4",
        "instructions": "Look things up.",
        "input": list(history),
        "tools": [_TOOL],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


def _go_on(history: History, response: Response, *, dump: bool) -> bool:
    """Add the answer and the tools' outputs to the history; False where no tool was called."""
    items = [item.model_dump() if dump else item.to_dict() for item in response.output]
    history += cast("History", items)
    calls = [item.call_id for item in response.output if item.type == "function_call"]
    history += [{"type": "function_call_output", "call_id": call, "output": f"result of {call}"} for call in calls]
    return bool(calls)


def _sync(client: OpenAI, way: str, history: History) -> Response:
    request = _request(history)
    if way == "raw":
        return client.responses.with_raw_response.create(**request).parse()
    return client.responses.create(**request)


async def _async(client: AsyncOpenAI, way: str, history: History) -> Response:
    request = _request(history)
    if way == "async":
        return await client.responses.create(**request)
    if way == "helper":
        async with client.responses.stream(**request) as helped:
            return await helped.get_final_response()
    final: Response | None = None
    async for event in await client.responses.create(**request, stream=True):
        if event.type == "response.completed":
            final = event.response
    if final is None:
        raise RuntimeError("the stream ended without response.completed")
    return final


async def _agent(way: str, base: str, name: str, rounds: int) -> str:
    history = _begin(name, rounds)
    async with AsyncOpenAI(api_key=f"key-{name}", base_url=base, max_retries=0) as client:
        while _go_on(history, response := await _async(client, way, history), dump=way == "helper"):
            pass
    return response.output_text


def _agent_sync(way: str, base: str, name: str, rounds: int) -> str:
    history = _begin(name, rounds)
    with OpenAI(api_key=f"key-{name}", base_url=base, max_retries=0) as client:
        while _go_on(history, response := _sync(client, way, history), dump=False):
            pass
    return response.output_text


async def _main(way: str, agents: int, rounds: int, base: str) -> None:
    names = [f"agent-{number}" for number in range(agents)]
    if way in {"sync", "raw"}:
        ended = await asyncio.gather(*(asyncio.to_thread(_agent_sync, way, base, name, rounds) for name in names))
    else:
        ended = await asyncio.gather(*(_agent(way, base, name, rounds) for name in names))
    sys.stdout.write(json.dumps(dict(zip(names, ended, strict=True))))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
