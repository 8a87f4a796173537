"""A turn's rules that hold whatever the transport."""

from proxy.simulator import Behaviour, Entry, Fault
from proxy.simulator.errors import ApiError
from proxy.simulator.host import Host
from proxy.simulator.memory import Memory
from proxy.simulator.prompt import Item, shown
from proxy.simulator.turn import Turn
from tests.simulator.wire import TOOL, Running


async def test_tool_rounds_run_to_the_end(running: Running) -> None:
    """An agent that sends its whole history, and one that sends deltas on a socket, get the same answers."""
    user = {"role": "user", "content": "go [[rounds=3 calls=2 reasoning=1 phase=1]]"}
    fields = {"tools": [TOOL], "include": ["reasoning.encrypted_content"], "store": False}
    history: list[object] = [user]
    new: list[object] = [user]
    previous: dict[str, object] = {}
    socket = await running.socket()
    for round_number in range(4):
        _, whole = await running.create(input=history, **fields)
        delta = (await socket.turn(input=new, **fields, **previous))["response"]
        assert delta["output"] == whole["output"]
        calls = [item for item in whole["output"] if item["type"] == "function_call"]
        assert len(calls) == (2 if round_number < 3 else 0)
        new = [{"type": "function_call_output", "call_id": call["call_id"], "output": "é"} for call in calls]
        history += [*whole["output"], *new]
        previous = {"previous_response_id": delta["id"]}
    assert running.sim.journal[-1].prompt == running.sim.journal[-2].prompt
    assert running.last.size < len(running.sim.journal[-2].raw) / 3


async def test_a_bent_context_changes_the_answer(running: Running) -> None:
    """One character more in an old item, and the answer is another one."""
    answers = []
    for text in ("a", "a "):
        items = [{"role": "user", "content": text}, {"role": "user", "content": "b"}]
        answers.append((await running.create(input=items))[1]["output"])
    assert answers[0] != answers[1]


async def test_a_response_that_a_fault_ends_keeps_whole_items_only(running: Running) -> None:
    """`failed` and `incomplete` in mid-answer end with the items that were done."""
    events = await running.stream(input="[[reasoning=1]]")
    names = [event["type"] for event in events]
    running.sim.faults.add(Fault("incomplete", "events", after=names.index("response.content_part.added")))
    last = (await running.stream(input="[[reasoning=1]]"))[-1]
    assert last["type"] == "response.incomplete"
    assert [item["type"] for item in last["response"]["output"]] == ["reasoning"]


async def test_usage_is_counted_and_cached(running: Running) -> None:
    """Input tokens follow from the prompt; a repeated beginning is cached in blocks of 128."""
    text = "word " * 1_000
    usages = [(await running.create(input=text, prompt_cache_key="k"))[1]["usage"] for _ in range(2)]
    assert running.last.prompt is not None
    tokens = -(-len(shown(running.last.prompt).encode()) // 4)
    assert [usage["input_tokens"] for usage in usages] == [tokens, tokens]
    assert [usage["input_tokens_details"]["cached_tokens"] for usage in usages] == [0, tokens // 128 * 128]
    assert usages[0]["output_tokens"] > 0


async def test_pairs_are_checked_over_the_whole_context(running: Running) -> None:
    """On a continuation, the parent's open calls need outputs, and outputs may answer the parent's calls."""
    socket = await running.socket()
    first = (await socket.turn(input="x", tools=[TOOL]))["response"]
    call_id = first["output"][0]["call_id"]
    output = {"type": "function_call_output", "call_id": call_id, "output": "y"}
    assert (await socket.turn(input=[output], previous_response_id=first["id"]))["type"] == "response.completed"
    first = (await socket.turn(input="x", tools=[TOOL]))["response"]
    frame = await socket.turn(input="y", previous_response_id=first["id"])
    assert frame["error"]["message"] == f"No tool output found for function call {call_id}."


async def test_reasoning_that_nobody_kept_is_a_404(running: Running) -> None:
    """Over HTTP and over a socket, as the API answers; a continuation needs no such item, its parent holds it."""
    socket = await running.socket()
    asked = {"input": "x", "tools": [TOOL], "reasoning": {"effort": "low"}, "store": False}
    first = (await socket.turn(**asked))["response"]
    thought, call = first["output"]
    assert "encrypted_content" not in thought
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "y"}
    history = [{"role": "user", "content": "x"}, thought, call, output]
    expected = {
        "message": f"Item with id '{thought['id']}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        "type": "invalid_request_error",
        "param": "input",
        "code": None,
    }
    other = await running.socket()
    frame = await other.turn(**{**asked, "input": history})
    assert (frame["status"], frame["error"]) == (404, expected)
    status, answer = await running.create(**{**asked, "input": history})
    assert (status, answer["error"]) == (404, expected)
    later = await socket.turn(**{**asked, "input": [output]}, previous_response_id=first["id"])
    assert later["type"] == "response.completed"


async def test_all_is_settled_before_the_terminal_event_is_sent() -> None:
    """When the last event goes out, the journal has the outcome, and the response can be continued."""
    host, memory, seen = Host(Behaviour(), None), Memory(), []
    entry = Entry(host.journal.next_number(), "ws", 1, None, (), b"", {"model": "m", "input": "x"})
    host.journal.add(entry)

    class Sink:
        async def event(self, event: Item, *, terminal: bool) -> None:
            response = event.get("response")
            if terminal and isinstance(response, dict):
                seen.append((host.journal[0].outcome, memory.find(response["id"]) is not None))

        async def error(self, error: ApiError, sequence_number: int) -> None:
            raise AssertionError((error, sequence_number))

        async def strike(self, fault: Fault) -> bool:
            raise AssertionError(fault)

    await Turn(host, entry, memory, Sink()).run()
    assert seen == [("completed", True)]
