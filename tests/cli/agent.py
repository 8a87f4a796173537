"""An agent for the tests: a small program that keeps its history itself and takes as many turns as it is told."""

import sys

_PROGRAM = """
import json, os, sys, urllib.request

history = [{"role": "user", "content": "Hello, this is marker-prompt."}]
for _ in range(int(sys.argv[1])):
    body = {"model": "gpt-5.4", "input": history, "store": False}
    headers = {"Authorization": "Bearer marker-key", "Content-Type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/responses"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        history += json.load(answer)["output"]
    history.append({"role": "user", "content": "Go on."})
"""
# What a developer's own shell may have set.
BARE = {"OPENAI_BASE_URL": "", "OPENAI_API_BASE": "", "CODEX_HOME": "no-such-folder"}


def agent(turns: int) -> tuple[str, ...]:
    """The words of its command; one conversation."""
    return (sys.executable, "-c", _PROGRAM, str(turns))


def python(program: str, *arguments: str) -> tuple[str, ...]:
    """The words of a command that runs a Python program."""
    return (sys.executable, "-c", program, *arguments)
