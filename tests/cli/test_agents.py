"""Agents: what a command needs to go through Openline, and where it would have gone without it."""

from pathlib import Path

import pytest

from proxy.cli.execution.agents import AGENTS, VARIABLES, Address, environment, fitted, for_run, leading, named, silence
from proxy.errors import Problem
from tests.cli.process import ROOT
from tests.clients.catalogue import BY_NAME

BASE = "http://127.0.0.1:5000/openline-run/r1/v1"
CODEX = ["-c", f'openai_base_url="{BASE}"']


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (["codex"], 1),
        (["codex", "exec", "fix it"], 1),
        (["/opt/bin/codex", "-c", 'model="o3"', "resume"], 1),
        (["codex", "--config=model=o3", "--", "-c", "openai_base_url=x"], 1),
        (["codex", "exec", "tell me what openai_base_url=x does"], 1),
        (["npx", "codex", "exec"], 2),
        (["npx", "-y", "@openai/codex@latest", "exec"], 3),
        (["npx", "--package=@openai/codex", "codex"], 3),
        (["npx", "-p", "@openai/codex", "codex"], 4),
        (["npx", "--", "codex"], 3),
        (["bunx", "@openai/codex"], 2),
        (["node", "--import", "x.mjs", "/lib/codex.js", "exec"], 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_codex_is_told_the_address_in_its_first_arguments(words: list[str], at: int) -> None:
    """However it is started, behind its name stands the option, and all else is as it was."""
    assert fitted(words, BASE) == [*words[:at], *CODEX, *words[at:]]


@pytest.mark.parametrize(
    "words",
    [
        ["codex", "-c", 'openai_base_url="http://elsewhere/v1"'],
        ["codex", "exec", "-cmodel_provider=mine", "hello"],
        ["codex", "--config", "model_provider = 'mine'"],
        ["codex", "--config=model_providers.mine.base_url=x"],
        ["npx", "codex", "--oss"],
        ["codex", "--local-provider=ollama"],
    ],
    ids=" ".join,
)
def test_an_agent_that_chooses_itself_is_left_alone(words: list[str]) -> None:
    """Arguments that name an address or a provider count; should it make no call to us, that is why."""
    assert fitted(words, BASE) == words
    assert silence(words) == "its arguments say themselves where to go"


@pytest.mark.parametrize(
    "words",
    [["my-agent", "-c", "x"], ["npx"], ["npx", "-y"], ["npx", "-p"], ["node", "agent.js"], ["codex-like"], ["pi"]],
)
def test_other_commands_are_run_as_they_are(words: list[str]) -> None:
    """Whatever is no agent that is known gets no word more."""
    assert fitted(words, BASE) == words


def test_each_agent_is_one_that_was_measured() -> None:
    """What is said of one has a source, and the one that it names is in the catalogue of clients."""
    for name, agent in AGENTS.items():
        assert name in BY_NAME
        assert "docs/clients.md" in agent.source
        assert "docs/clients.md" in agent.silent
        assert silence([name]) == agent.silent
    assert silence(["my-agent"]) == ""
    assert CODEX[1].partition("=")[0] in BY_NAME["codex"].setup[-1]


def test_the_command_finds_the_address_and_no_proxy_on_the_way() -> None:
    """Both variables, and loopback on both lists; nothing else is touched, and nothing is changed in place."""
    before = {"PATH": "/bin", "OPENAI_BASE_URL": "https://api.example/v1", "OPENAI_API_KEY": "k"}
    after = environment(before, BASE)
    loopback = "127.0.0.1,localhost,::1"
    assert after == {
        "PATH": "/bin",
        "OPENAI_API_KEY": "k",
        "OPENAI_BASE_URL": BASE,
        "OPENAI_API_BASE": BASE,
        "NO_PROXY": loopback,
        "no_proxy": loopback,
    }
    assert before["OPENAI_BASE_URL"] == "https://api.example/v1"
    assert environment(after, BASE) == after
    alone = environment(before, BASE, ("OPENAI_BASE_URL",))
    assert (alone["OPENAI_BASE_URL"], "OPENAI_API_BASE" in alone) == (BASE, False)


@pytest.mark.parametrize(
    ("upper", "lower", "expected"),
    [
        ("a.example", None, ("a.example,127.0.0.1,localhost,::1",) * 2),
        (None, "a.example", ("a.example,127.0.0.1,localhost,::1",) * 2),
        ("a", "b", ("a,127.0.0.1,localhost,::1", "b,127.0.0.1,localhost,::1")),
        ("a, localhost ,b", "", ("a, localhost ,b,127.0.0.1,::1",) * 2),
        ("*", None, ("*", "*")),
        ("", "", ("127.0.0.1,localhost,::1",) * 2),
    ],
)
def test_the_lists_keep_what_they_had(upper: str | None, lower: str | None, expected: tuple[str, str]) -> None:
    """Programs read the one or the other: what stood in the only one stands in both, and `*` is all there can be."""
    given = {name: value for name, value in (("NO_PROXY", upper), ("no_proxy", lower)) if value is not None}
    after = environment(given, BASE)
    assert (after["NO_PROXY"], after["no_proxy"]) == expected


def test_a_run_stands_in_the_path() -> None:
    """Ahead of it, so that any client takes it along."""
    assert for_run("http://[::1]:5000/v1", "r1") == "http://[::1]:5000/openline-run/r1/v1"
    assert for_run("http://[::1]:5000/v1", "r1", "w") == "http://[::1]:5000/openline-run/r1.w/v1"


def test_where_the_command_would_have_gone(tmp_path: Path) -> None:
    """Each variable that says something; for codex, which reads none, its own settings alone, wherever they are."""
    both = {"OPENAI_BASE_URL": "http://a/v1", "OPENAI_API_BASE": "http://b/v1", "HOME": str(tmp_path)}
    said = [("OPENAI_BASE_URL", "http://a/v1"), ("OPENAI_API_BASE", "http://b/v1")]
    assert named(["my-agent"], both) == said
    assert named(["my-agent"], {**both, "OPENAI_BASE_URL": " "}) == said[1:]
    assert named(["my-agent"], {}) == named(["codex"], both) == []
    within = ("OPENAI_BASE_URL", BASE)
    assert named(["codex"], {**both, "OPENAI_BASE_URL": BASE}) == [within]
    for folder, environ in (
        (tmp_path / ".codex", both),
        (tmp_path / "elsewhere", {**both, "CODEX_HOME": str(tmp_path / "elsewhere")}),
    ):
        folder.mkdir()
        file = folder / "config.toml"
        for text, own in (
            ("openai_base_url = 'http://c/v1'\n", [(f"openai_base_url in {file}", "http://c/v1")]),
            ("openai_base_url = 7\n", []),
            ("[openai_base_url\n", []),
        ):
            file.write_text(text)
            assert named(["codex", "exec"], environ) == own
        assert named(["my-agent"], environ) == said


def test_only_what_led_there_leads_to_us() -> None:
    """A variable that leads elsewhere stays, and an empty one does where another led the command."""
    both = {"OPENAI_BASE_URL": "http://a/v1 ", "OPENAI_API_BASE": "http://b/v1"}
    a, b = Address("OPENAI_BASE_URL", "http://a/v1"), Address("OPENAI_API_BASE", "http://b/v1")
    assert leading(both, [a, b]) == VARIABLES
    assert leading(both, [a]) == ("OPENAI_BASE_URL",)
    assert leading(both, []) == ()
    assert leading({"OPENAI_API_BASE": "http://b/v1"}, [b]) == ("OPENAI_API_BASE",)
    assert leading({"OPENAI_API_BASE": "http://b/v1"}, []) == ("OPENAI_BASE_URL",)
    assert leading({}, []) == VARIABLES


def test_where_calls_go_is_documented() -> None:
    """docs/clients.md has the order, all that is asked for an address, and what a run is refused with."""
    page = (ROOT / "docs" / "clients.md").read_text("utf-8")
    section = page.partition("\n## Through `openline exec`\n")[2].partition("\n## ")[0]
    code = Problem.MOVED.value[1]
    own = [agent.own.key for agent in AGENTS.values() if agent.own]
    for name in (*VARIABLES, *own, "--upstream", "OPENLINE_UPSTREAM__URL", "upstream.url", code):
        assert f"`{name}`" in section
