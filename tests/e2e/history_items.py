"""What requests and histories hold, by the words of docs/histories.md: which shapes stand for a row, or who asks."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from proxy.simulator import render_request
from tests.e2e.stack import Item
from tests.e2e.stage import TALK, Stage, changed, way

Asks: TypeAlias = Callable[[Stage], Awaitable[str]]
Case: TypeAlias = tuple[str, int | None]
"""A shape, and the turn of it that a row is about; None for each but the first."""


async def _string(stage: Stage) -> str:
    talk = stage.talk()
    reply = await stage.running.ask({**talk.body, "input": talk.items[0]["content"]})
    await stage.running.outcome()
    return (await stage.turn(talk.followed(reply.output, TALK))).way


async def _reference(stage: Stage) -> str:
    first = stage.talk()
    said = (await stage.running.ask(first.body)).output
    named: list[Item] = [{"type": "item_reference", "id": item["id"]} for item in said]
    talk = first.followed(named, TALK)
    reply = await stage.running.ask(talk.body)
    if reply.status != 200:
        assert reply.error == (await stage.running.ask(talk.body, base=stage.running.direct)).error
        return f"the host's {reply.status}"
    stored = {str(item["id"]): item for item in said}
    assert stage.running.prompts()[-1] == render_request(talk.body, stored=stored)
    return way(reply.route, reply.reason, (stage.running.creates()[-1].body or {})["input"])


def _setting(**settings: object) -> Asks:
    async def ask(stage: Stage) -> str:
        return (await stage.turn((await stage.begun()).set(**settings))).way

    return ask


async def _images_over_http(stage: Stage) -> str:
    settings = stage.running.app.settings
    upstream = msgspec.structs.replace(settings.upstream, images="http")
    stage.running.app.reload(msgspec.structs.replace(settings, upstream=upstream))
    talk = await stage.begun()
    return (await stage.turn(changed(talk, -1, content=[{"type": "input_image", "file_id": "file-1"}]))).way


async def _own_state(stage: Stage) -> str:
    ways = set()
    for name in ("previous_response_id", "conversation", "prompt"):
        reply = await stage.running.ask({**stage.talk().body, name: "of_his_own"})
        ways.add(way(reply.route, reply.reason, []))
    (one,) = ways
    return one


_MANAGED = [{"type": "compaction", "compact_threshold": 1000}]
ASKED: Mapping[str, Asks] = {
    "`input` as a string": _string,
    "`item_reference` to what was said in a stored response, once Openline saw it": _reference,
    'Images, with `upstream.images = "http"`': _images_over_http,
    "Another `context_management` than before": _setting(context_management=_MANAGED),
    '`truncation: "auto"`': _setting(truncation="auto"),
    "`previous_response_id`, `conversation` or `prompt`": _own_state,
}


def _all(*names: str, turn: int | None = None) -> Sequence[Case]:
    return [(name, turn) for name in names]


_BY_ITSELF = "a compaction by the upstream, "
CASES: Mapping[str, Sequence[Case]] = {
    "Messages, `reasoning`, `function_call`, `function_call_output`": _all(
        "parallel, namespaced and asynchronous calls",
        "calls that the model itself made, and says so",
        "open and refused",
    ),
    "`custom_tool_call`, `custom_tool_call_output`": _all("custom tools"),
    "`additional_tools` of the caller": _all("tools as items"),
    "`configuration_update`": _all("a configuration that changes"),
    "Images: inline, by id, by URL; in messages and in results": _all("images"),
    "Files: inline, by id, by URL; audio": _all("files and audio"),
    "A `compaction` in the history": _all("a history that begins with a compaction"),
    "`compaction_trigger`, as the last item": _all("a compaction that is asked for", turn=1),
    "… the history that begins with what that gave: its first turn": _all("a compaction that is asked for", turn=2),
    "A `compaction` that the upstream made by itself; the history goes on whole": _all(
        f"{_BY_ITSELF}whose history goes on whole", turn=2
    ),
    "… what is before it is dropped": _all(f"{_BY_ITSELF}before which the history is dropped", turn=2),
    "What the upstream ran: `web_search_call`, `file_search_call`, `code_interpreter_call`, `image_generation_call`, "
    "`mcp_list_tools`, `mcp_call`, `mcp_approval_request`, `mcp_approval_response`, `shell_call`, "
    "`shell_call_output`, `tool_search_call`, `tool_search_output`, `additional_tools`": _all(
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_list_tools, mcp_call",
        "mcp_approval_request",
        "shell_call of the upstream",
        "tool_search_call of the upstream",
        "additional_tools",
        "outputs of calls",
        turn=2,
    ),
    "What the upstream words and the caller runs: `computer_call`, `computer_call_output`, `local_shell_call`, "
    "`local_shell_call_output`, `shell_call`, `shell_call_output`, `apply_patch_call`, `apply_patch_call_output`, "
    "`tool_search_call`, `tool_search_output`": _all(
        "computer_call",
        "local_shell_call",
        "shell_call of the caller",
        "apply_patch_call",
        "tool_search_call of the caller",
        turn=2,
    ),
    "`program`, `program_output`, and calls that a program made": _all(
        "program, program_output", "program, whose calls the caller answers", turn=2
    ),
    "… in the first task": _all("a program that calls again", turn=1),
    "A type that Openline does not know, in an answer": _all("from_the_future", turn=2),
    "Items of any type, in a history that began elsewhere: after its first turn": _all(
        "what other tools left in a history of another host"
    ),
}
