"""A caller that keeps its conversation in a file, as a process: `python -m tests.e2e.caller FILE BASE TURNS`.

FILE holds the request. Each turn that is answered is added to it, in another spelling than it came in; FILE is saved
before the next one. `--references` has what was said named where it can be. A line is printed when the first event of
an answer is there, and one JSON object for each turn: how it went, and what was sent.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

_Item = dict[str, object]


def _respelled(value: object) -> object:
    """Items and parts with their keys the other way round; what is inside of them as it is."""
    if isinstance(value, list):
        return [_respelled(member) for member in value]
    if isinstance(value, dict):
        lists = {"content", "summary", "output"}
        return {key: _respelled(value[key]) if key in lists else value[key] for key in reversed(value)}
    return value


def _events(answer: HTTPResponse) -> Iterator[_Item]:
    for line in answer:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def _said(answer: HTTPResponse) -> list[_Item]:
    said = []
    for number, event in enumerate(_events(answer)):
        if not number:
            _tell("answering")
        if event["type"] == "response.output_item.done" and isinstance(event["item"], dict):
            said.append(event["item"])
    return said


def _named(item: _Item, number: int) -> _Item:
    return {"id": item["id"]} if number % 2 else {"type": "item_reference", "id": item["id"]}


def _followed(said: list[_Item]) -> list[_Item]:
    calls = [item["call_id"] for item in said if item["type"] == "function_call"]
    results: list[_Item] = [{"type": "function_call_output", "call_id": call, "output": "é\n"} for call in calls]
    return results or [{"role": "user", "content": "Go on. [[rounds=1 reasoning=1]]"}]


def _turn(file: Path, base: str, *, references: bool) -> None:
    sent = file.read_bytes()
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/responses", sent, headers), timeout=20) as answer:  # noqa: S310 - it is http
        said = _said(answer)
        told = {name: answer.headers.get(f"x-openline-{name}", "") for name in ("route", "reason")}
    request = json.loads(sent)
    back = [_named(item, number) for number, item in enumerate(said)] if references else said
    request["input"] += [*map(_respelled, back), *_followed(said)]
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(request, indent=1, separators=(" ,", " : ")))
    draft.replace(file)
    _tell(json.dumps({**told, "sent": sent.decode(), "said": said}))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for _ in range(int(sys.argv[3])):
        _turn(Path(sys.argv[1]), sys.argv[2], references="--references" in sys.argv)
