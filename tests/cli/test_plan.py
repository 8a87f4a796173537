"""The plan: what a service is told of the shell, and what it cannot have as the shell has it."""

import socket
from pathlib import Path

import pytest

from proxy.cli.flags import Flags
from proxy.cli.services.plan import Plan, Unfit, absolute, plan
from proxy.settings_sources import load

PYTHON = "/opt/venv/bin/python"
SECRET = "marker-0123456789abcdef"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shell's folder; the developer's own settings must not reach a test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(environ: dict[str, str] | None = None, config: Path | None = None, **given: object) -> Plan:
    """The plan of a shell with this environment, and these flags."""
    said = absolute(Flags(given, config))
    environ = environ or {}
    return plan(said, said.read(environ), environ, PYTHON)


def refusal(environ: dict[str, str] | None = None, config: Path | None = None, **given: object) -> str:
    """The line that the plan is refused with."""
    with pytest.raises(Unfit) as refused:
        planned(environ, config, **given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def private(path: Path, text: str) -> Path:
    """A file for its owner alone."""
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_without_anything_it_is_run_by_itself() -> None:
    """This interpreter, which looks for no module in the service's folder, at the usual address, and no more."""
    assert planned() == Plan((PYTHON, "-P", "-m", "proxy", "run"), (("127.0.0.1", 6736),), {}, 18)


def test_flags_go_on_to_the_service(folder: Path) -> None:
    """Each flag is passed on as it was given; files are named so that they are found from any folder."""
    private(folder / "token", SECRET)
    (folder / "my.toml").write_text("")
    made = planned(
        None,
        Path("my.toml"),
        **{"listen": "127.0.0.1:7000", "token_file": "token", "upstream.url": "http://x/v1", "verbose": True},
    )
    assert made.command[5:] == (
        *("--listen", "127.0.0.1:7000", "--token-file", str(folder / "token"), "--upstream", "http://x/v1"),
        *("--verbose", "--config", str(folder / "my.toml")),
    )
    assert made.addresses == (("127.0.0.1", 7000),)


def test_a_token_file_in_the_home_folder_is_found(folder: Path) -> None:
    """`~` is the shell's word: the service gets the path."""
    private(folder / "token", SECRET)
    assert planned(token_file="~/token").command[-1] == str(folder / "token")


def test_the_shell_s_proxies_certificates_and_settings_are_recorded(folder: Path) -> None:
    """Both cases of the proxies' names, where certificates and Openline's files are, all settings; no key."""
    (folder / "my.toml").write_text("")
    told = {
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://proxy:3128"),
        **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://proxy:3129"),
        "NO_PROXY": "a",
        "no_proxy": "",
        "SSL_CERT_FILE": "/ca.pem",
        "SSL_CERT_DIR": "/a:/b",
        "XDG_CONFIG_HOME": "/c",
        "XDG_STATE_HOME": "/s",
        "OPENLINE_MODE": "off",
        "OPENLINE_POOL__MAX_CONNECTIONS": "3",
    }
    others = {"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": "x", "PATH": "/bin", "HOME": "/h", "FTP_PROXY": "http://x"}
    made = planned({**told, **others, "OPENLINE_CONFIG": "my.toml"})
    assert made.environment == {**told, "OPENLINE_CONFIG": str(folder / "my.toml")}


@pytest.mark.parametrize(
    "value", [f"http://user:{SECRET}@proxy:3128", f"user:{SECRET}@proxy:3128", f"http://{SECRET}/@p@h"]
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_s_password_is_recorded_and_not_shown(name: str, value: str) -> None:
    """The service needs it; neither a screen nor a log of the plan has it."""
    made = Plan((), (), {name: value}, 18)
    shown = made.masked.environment[name]
    assert SECRET not in shown
    assert "@" in shown
    assert SECRET not in repr(made)
    assert made.masked.masked == made.masked


def test_what_holds_no_credential_is_shown_whole() -> None:
    """The mask hides nothing that a person wants to check."""
    environment = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "a,b", "OPENLINE_UPSTREAM__URL": "https://h/a@b"}
    made = Plan((), (), environment, 18)
    assert made.masked == made


def test_a_token_is_not_recorded() -> None:
    """It would lie in a unit file, and in what systemd shows of it."""
    line = refusal({"OPENLINE_TOKEN": SECRET})
    assert line.startswith("OPENLINE_TOKEN: a token is not written into a service's files: put it in a file of its own")
    assert line.endswith("token_file")
    assert SECRET not in line


def test_port_0_is_refused() -> None:
    """Callers, and the socket that is held for them, need a port that stays."""
    line = refusal({"OPENLINE_LISTEN": "127.0.0.1:0"})
    assert line.startswith("listen: port 0 is another port at each start")
    assert line.endswith("choose one (environment variable OPENLINE_LISTEN)")


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"OPENLINE_TOKEN_FILE": "token"}, "token_file: 'token' begins at this shell's folder, a service has another"),
        ({"OPENLINE_UPSTREAM__CA_FILE": "a/ca.pem"}, "upstream.ca_file: 'a/ca.pem' begins at this shell's folder"),
        ({"OPENLINE_ADMIN_LISTEN": "unix:s"}, "admin_listen: 's' begins at this shell's folder"),
        ({"SSL_CERT_FILE": "./ca.pem"}, "SSL_CERT_FILE: './ca.pem' begins at this shell's folder"),
        ({"SSL_CERT_DIR": "/a:b"}, "SSL_CERT_DIR: 'b' begins at this shell's folder"),
        ({"XDG_STATE_HOME": "state"}, "XDG_STATE_HOME: 'state' begins at this shell's folder"),
    ],
)
def test_what_begins_at_the_shell_s_folder_is_refused(environ: dict[str, str], line: str, folder: Path) -> None:
    """In a service it would be another file, or none."""
    private(folder / "token", SECRET)
    assert refusal(environ).startswith(line)


@pytest.mark.parametrize("path", ["/run/s", "~/s"])
def test_a_whole_path_of_the_admin_socket_is_fine(path: str) -> None:
    """It is the process that makes it, at every start."""
    assert planned({"OPENLINE_ADMIN_LISTEN": f"unix:{path}"}).environment == {"OPENLINE_ADMIN_LISTEN": f"unix:{path}"}


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"ALL_PROXY": f"socks5://u:{SECRET}@h"}, "ALL_PROXY: names a SOCKS proxy"),
        ({"OPENLINE_UPSTREAM__CA_FILE": "/no-such.pem"}, "upstream.ca_file: /no-such.pem cannot be read"),
        ({"NO_PROXY": "a\nb"}, "NO_PROXY: holds a control character, or bytes that are no UTF-8"),
        ({"SSL_CERT_FILE": "/\udcff.pem"}, "SSL_CERT_FILE: holds a control character, or bytes that are no UTF-8"),
    ],
)
def test_what_would_stop_the_service_s_start_is_refused(environ: dict[str, str], line: str) -> None:
    """What `run` refuses only when it starts is found before anything is written."""
    refused = refusal(environ)
    assert refused.startswith(line)
    assert SECRET not in refused


def test_a_name_of_two_lines_is_refused(folder: Path) -> None:
    """It could not stand in a line of a unit."""
    config = folder / "a\nb.toml"
    config.write_text("")
    assert refusal(None, config).startswith("the command: holds a control character")


@pytest.mark.parametrize(("seconds", "stop"), [("0", 10), ("8", 18), ("0.5", 11), ("3600", 3610)])
def test_it_may_take_longer_to_end_than_its_turns(seconds: str, stop: int) -> None:
    """Whoever stops the service waits for the drain and what comes after it."""
    assert planned({"OPENLINE_DRAIN_SECONDS": seconds}).stop_seconds == stop


def test_each_address_of_a_name_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run` does: localhost is two where the machine has both, and what it has not is left out."""
    two = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 6736, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 6736)),  # nobody has it
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 6736)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: two)
    made = planned(listen="localhost:6736")
    assert made.addresses == (("::1", 6736), ("127.0.0.1", 6736))
    assert made.listen == ("[::1]:6736", "127.0.0.1:6736")


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("192.0.2.1", "listen: '192.0.2.1' is no address of this machine"),
        ("no-such-host.invalid", "listen: 'no-such-host.invalid' is no address of this machine: "),
    ],
)
def test_where_nothing_can_listen_no_service_can(host: str, line: str, folder: Path) -> None:
    """An address that this machine does not have is refused now, and not at the first login."""
    token = private(folder / "token", SECRET)
    assert refusal(listen=f"{host}:6736", token_file=str(token)).startswith(line)


def test_settings_are_those_of_run(folder: Path) -> None:
    """Flags that were made absolute give the settings that they gave before."""
    private(folder / "token", SECRET)
    given = Flags({"token_file": "token", "mode": "off"}, None)
    assert absolute(given).read({}).settings.token == load(given.given, {}, config=None).settings.token
    assert absolute(given).given["mode"] == "off"
