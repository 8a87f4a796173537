"""The examination: every check is reported once, in its order, whatever is wrong."""

from pathlib import Path

import pytest

from proxy.doctor.checks import NAMES, Finding
from proxy.doctor.credential import credential
from proxy.doctor.examination import Examination, config
from proxy.doctor.local import Occupant, Place
from proxy.settings_sources import ConfigError, Loaded, load
from proxy.simulator import Behaviour, Simulator

SIMPLE = {"listen": "127.0.0.1:0", "upstream.url": "http://127.0.0.1:9/v1"}


@pytest.fixture(autouse=True)
def usual_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings must not reach a test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def loaded(**settings: str) -> Loaded:
    """Settings as flags give them; underscores stand for dots."""
    return load({**SIMPLE, **{key.replace("__", "."): value for key, value in settings.items()}}, {}, config=None)


async def nobody(_place: Place) -> Occupant:
    """Who is there."""
    return Occupant(is_openline=False, clause="another program is listening there")


async def examined(settings: Loaded | ConfigError, environ: dict[str, str]) -> list[Finding]:
    """All findings."""
    findings: list[Finding] = []
    await Examination(settings, environ, credential(environ, None), "gpt-5-mini", nobody, findings.append).run()
    assert tuple(finding.name for finding in findings) == NAMES
    return findings


def of(findings: list[Finding], state: str) -> list[str]:
    """The names of the checks in this state."""
    return [finding.name for finding in findings if finding.state == state]


async def test_all_is_looked_at() -> None:
    """With a good upstream and a credential nothing is left out, and nothing failed."""
    async with Simulator(Behaviour(lanes=True)) as simulator:
        settings = loaded(upstream__url=await simulator.start(), upstream__lanes="on")
        findings = await examined(settings, {"OPENAI_API_KEY": "sk-1"})
    # What else is on Python's path here is not this test's.
    assert [name for name in of(findings, "ok") if name != "package"] == [name for name in NAMES if name != "package"]


async def test_nobody_there() -> None:
    """What lies behind is skipped, with the name of the check that says why."""
    findings = await examined(loaded(), {"OPENAI_API_KEY": "sk-1"})
    assert of(findings, "failed") == ["tls"]
    behind = ["clock", "http", "websocket", "credential", "ids", "lanes"]
    assert of(findings, "skipped") == behind
    assert all("see tls" in finding.text for finding in findings if finding.state == "skipped")


async def test_settings_that_cannot_be_used() -> None:
    """What does not depend on them is looked at all the same: the package, and whether there is a credential."""
    findings = await examined(ConfigError("listen: no"), {"OPENAI_API_KEY": "sk 1"})
    assert of(findings, "failed") == ["config", "credential"]
    assert {"package", "state"}.isdisjoint(of(findings, "skipped"))
    assert {finding.text for finding in findings if finding.state == "skipped"} == {
        "the settings are not known, see config"
    }


def test_its_repr_holds_nothing_private() -> None:
    """The environment has keys and passwords."""
    environ = {"OPENAI_API_KEY": "sk-1"}
    examination = Examination(loaded(), environ, credential(environ, None), "m", nobody, print)
    assert "sk-1" not in repr(examination)


async def test_no_websocket() -> None:
    """What only a WebSocket can tell is skipped."""
    async with Simulator(Behaviour(websocket=False)) as simulator:
        settings = loaded(upstream__url=await simulator.start())
        findings = await examined(settings, {"OPENAI_API_KEY": "sk-1"})
    assert (of(findings, "failed"), of(findings, "skipped")) == (["websocket"], ["ids", "lanes"])


def test_the_settings(tmp_path: Path) -> None:
    """Where they come from, and which are not the defaults; a mode that gains nothing is noted."""
    assert config(load({}, {}, config=None)).text == "no settings file, no settings beside the defaults"
    file = tmp_path / "config.toml"
    file.write_text('mode = "off"\n')
    found = config(load({"listen": "127.0.0.1:0"}, {}, config=file))
    assert found.state == "note"
    assert found.text.startswith(f"{file}, 2 settings beside the defaults: mode, listen")
    assert config(load({"listen": "127.0.0.1:0"}, {}, config=None)).text.endswith(
        "1 setting beside the defaults: listen"
    )
    assert config(ConfigError("listen: no")).text == "listen: no"
    several = config(ConfigError("listen: no", ["mode: no", "match: no"]))
    assert several.text == "listen: no; mode: no; match: no"
