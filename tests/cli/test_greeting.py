"""The greeting: what a stranger reads at the start, and what a shell makes of its first line."""

import asyncio
import shlex
from pathlib import Path

import pytest

from proxy import __version__
from proxy.cli.greeting import greeting
from proxy.settings_sources import load

SECRET = "marker-0123456789abcdef"
BASE = "http://127.0.0.1:6736/v1"
ADMIN = "http://127.0.0.1:6735"
WHO = f"openline {__version__}: upstream https://api.openai.com/v1, mode on"
SHOWN = "token: callers show it in the header x-openline-token, or in the base URL"


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings must not reach a test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def said(environ: dict[str, str], base: str = BASE, admin: str | None = ADMIN) -> list[str]:
    """The greeting with this environment."""
    return list(greeting(load({}, environ, config=None), base, admin))


async def shell(line: str, environ: dict[str, str]) -> str:
    """What the pasted line leaves in OPENAI_BASE_URL."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'{line}; printf %s "$OPENAI_BASE_URL"', env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    return out.decode()


def test_without_settings_three_lines_say_it_all() -> None:
    """The line to paste, who it is and where turns go, and where to ask how it is doing."""
    assert said({}) == [f"export OPENAI_BASE_URL={BASE}", WHO, f"admin: {ADMIN} (how it is doing: /status)"]


def test_a_path_that_may_be_a_secret_is_not_said() -> None:
    """The greeting goes to logs: of the upstream's path only what all APIs have is in it."""
    lines = said({"OPENLINE_UPSTREAM__URL": f"https://gateway.example/{SECRET}/v1"})
    assert lines[1] == f"openline {__version__}: upstream https://gateway.example/…, mode on"
    assert SECRET not in "\n".join(lines)


@pytest.mark.parametrize(
    ("environ", "admin", "line"),
    [
        ({"OPENLINE_ADMIN_LISTEN": "off"}, None, "admin: off"),
        ({}, None, "admin: none, as no port could be had"),
        ({"OPENLINE_ADMIN_SCOPE": "probes"}, ADMIN, f"admin: {ADMIN} (for probes: /healthz, /readyz)"),
        ({"OPENLINE_ADMIN_LISTEN": "unix:/s"}, "unix:/s", "admin: unix:/s (how it is doing: /status)"),
    ],
)
def test_the_admin_listener_is_always_said(environ: dict[str, str], admin: str | None, line: str) -> None:
    """Where it is and what for, or why there is none."""
    assert said(environ, admin=admin)[-1] == line


async def test_the_line_to_paste_has_the_token_of_the_variable() -> None:
    """The token is not printed; the shell puts it in from the same variable."""
    environ = {"OPENLINE_TOKEN": SECRET}
    lines = said(environ)
    assert lines[0] == "export OPENAI_BASE_URL=http://127.0.0.1:6736/t/$OPENLINE_TOKEN/v1"
    assert lines[2] == f"{SHOWN} (as above)"
    assert SECRET not in "\n".join(lines)
    assert await shell(lines[0], environ) == f"http://127.0.0.1:6736/t/{SECRET}/v1"


async def test_the_line_to_paste_has_the_token_of_the_file(tmp_path: Path) -> None:
    """The shell reads it from the file, whatever that is called."""
    file = tmp_path / "it's my $HOME token"
    file.write_text(f"{SECRET}\nsecond line\n")
    file.chmod(0o600)
    lines = said({"OPENLINE_TOKEN_FILE": str(file)})
    assert shlex.quote(str(file)) in lines[0]
    assert SECRET not in "\n".join(lines)
    assert await shell(lines[0], {"PATH": "/usr/bin:/bin"}) == f"http://127.0.0.1:6736/t/{SECRET}/v1"


def test_a_token_that_a_url_would_bend_is_not_put_in_one() -> None:
    """The line to paste stays a plain URL then, and it is said how to write the token."""
    lines = said({"OPENLINE_TOKEN": f"{SECRET}/?#"})
    assert lines[0] == f"export OPENAI_BASE_URL={BASE}"
    assert lines[2] == f"{SHOWN} (percent-encoded, as in http://127.0.0.1:6736/t/TOKEN/v1)"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])  # noqa: S104 - no socket
@pytest.mark.parametrize(("allowed", "names"), [("", "none yet"), ("box, box.local", "box, box.local")])
def test_who_calls_from_elsewhere_is_told_how(host: str, allowed: str, names: str) -> None:
    """The line to paste is for this machine; on all interfaces it is said what others may use."""
    environ = {"OPENLINE_LISTEN": f"{host}:1", "OPENLINE_TOKEN": SECRET, "OPENLINE_ALLOWED_HOSTS": allowed}
    assert said(environ)[3] == (
        f"from elsewhere: use this machine's address, or a name that allowed_hosts lists ({names})"
    )


def test_verbose_adds_what_is_set_and_where() -> None:
    """Names and sources of what is not a default, no values."""
    assert said({"OPENLINE_VERBOSE": "true", "OPENLINE_TOKEN": SECRET})[4:] == [
        "set: verbose (environment variable OPENLINE_VERBOSE)"
    ]
