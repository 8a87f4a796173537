"""A task: what the demo's agent is told, the tools it may call, and what they give back. The same in every run."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

_VOCABULARY = (
    "return value index cache request stream client token parse buffer result error while await frame header length "
    "socket event response context append update config module import raise finally yield async self None True False"
)
_RULES = (
    "Work in small steps and read a file before you change it.",
    "Prefer the tools over guesses, and say which file and line a claim rests on.",
    "Run the tests after every change; a change that breaks one is taken back.",
    "Keep the style of the code around you: names, spacing, the way errors are raised.",
    "Never touch generated files, lock files or anything outside the working folder.",
    "When two readings of the task are possible, take the smaller one and say so at the end.",
    "Answer with the cause first, then the change, then what is left to do.",
)
_TOOLS = {
    "read_file": "Read one text file of the working folder and return its lines with their numbers.",
    "search": "Search all text files of the working folder for a regular expression, with two lines of context.",
    "run_tests": "Run the tests that match a pattern and return what they print, at most 20 KB of it.",
    "list_files": "List the files below a folder with size and date, in the order of their names.",
}
_REPEATED = 8  # about 4 KB: an agent's instructions are long, and they go along on every turn


@dataclass(frozen=True)
class Task:
    """`settings` go along on every turn; `outputs` holds what each round's tool call gives back."""

    prompt: str
    settings: Mapping[str, object]
    outputs: tuple[str, ...]


def task(rounds: int, output_bytes: int) -> Task:
    """A task of so many tool rounds, each with a tool output of so many bytes."""
    settings = {
        "model": "simulated",
        "instructions": "You are a coding agent.\n" + "\n".join(_RULES * _REPEATED),
        "tools": [_tool(name, text) for name, text in _TOOLS.items()],
        "reasoning": {"effort": "medium"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    prompt = f"One test fails since yesterday. Find out why and mend it. [[rounds={rounds} calls=1 reasoning=1]]"
    return Task(prompt, settings, tuple(_output(number, output_bytes) for number in range(rounds)))


def _tool(name: str, description: str) -> dict[str, object]:
    argument = {"type": "string", "description": "What to look at: a path, a pattern or an expression."}
    parameters = {"type": "object", "properties": {"what": argument}, "required": ["what"]}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


def _output(seed: int, size: int) -> str:
    """Numbered lines of plain text that look like a file."""
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    words = _VOCABULARY.split()
    lines: list[str] = []
    length = 0
    while length < size:
        lines.append(f"{len(lines) + 1:5}  {' '.join(dice.choices(words, k=8))}")
        length += len(lines[-1]) + 1
    return "\n".join(lines)[:size]
