"""The units' texts: what systemd and launchd read out of them is the plan, whatever is in it."""

import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.services.plan import Plan, Unfit
from proxy.cli.services.units import LABEL, agent, service_unit, socket_unit
from proxy.server.activation import LAUNCHD_VARIABLE

COMMAND = ("/opt/venv/bin/python", "-P", "-m", "proxy", "run")
PLAN = Plan(COMMAND, (("127.0.0.1", 6736),), {}, 18)
# What a plan lets through: a line's worth of text.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
# The settings of systemd.socket(5) and systemd.service(5) that a user's manager of version 240 knows.
KNOWN = {
    "Unit": {"Description", "Requires", "After"},
    "Socket": {"ListenStream", "BindIPv6Only", "FileDescriptorName"},
    "Install": {"WantedBy"},
    "Service": {
        *("Type", "ExecStart", "ExecReload", "Environment", "SyslogIdentifier", "Restart", "RestartSec"),
        *("RestartPreventExitStatus", "SuccessExitStatus", "TimeoutStopSec", "NoNewPrivileges", "LockPersonality"),
        *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "RestrictAddressFamilies"),
        *("SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber", "UMask"),
    },
}


def read(unit: str) -> dict[str, dict[str, list[str]]]:
    """Sections, settings and their values, in order."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in unit.split("\n"):
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            section.setdefault(name, []).append(value)
    return sections


def words(value: str, *, program: bool) -> list[str]:
    """The words that systemd makes of a value: quotes, then `%`, then, in a program's arguments, `$`."""
    found: list[str] = []
    for quoted, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', value):
        word = re.sub(r"\\(.)", r"\1", quoted) if quoted or not bare else bare
        assert re.fullmatch(r"(?:[^%]|%%)*", word), word
        word = word.replace("%%", "%")
        if program and found:
            assert re.fullmatch(r"(?:[^$]|\$\$)*", word), word
            word = word.replace("$$", "$")
        found.append(word)
    return found


def test_the_socket_holds_each_address() -> None:
    """One line for each, IPv6 for itself as `run` has it, under the name by which the process takes them."""
    plan = Plan(COMMAND, (("::1", 6736), ("127.0.0.1", 6736)), {}, 18)
    unit = read(socket_unit(plan))
    assert unit["Socket"] == {
        "ListenStream": ["[::1]:6736", "127.0.0.1:6736"],
        "BindIPv6Only": ["ipv6-only"],
        "FileDescriptorName": ["api"],
    }
    assert unit["Install"] == {"WantedBy": ["sockets.target"]}


def test_the_service_runs_the_command_and_outlives_its_crashes() -> None:
    """It belongs to its socket, is started anew unless its settings are wrong, and has time for its drain."""
    service = read(service_unit(PLAN))
    assert service["Unit"]["Requires"] == service["Unit"]["After"] == ["openline.socket"]
    assert {name: value for name, (value,) in service["Service"].items()}.items() >= {
        "Type": "exec",
        "ExecStart": "/opt/venv/bin/python -P -m proxy run",
        "ExecReload": "/bin/kill -HUP $MAINPID",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "TimeoutStopSec": "18",
        "UMask": "0077",
    }.items()


@given(st.lists(TEXT, max_size=4), st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), TEXT, max_size=3))
def test_whatever_is_in_a_plan_arrives(arguments: list[str], environment: dict[str, str]) -> None:
    """Blanks, quotes, `%`, `$` and backslashes mean nothing to systemd but themselves; launchd has them as they are."""
    plan = Plan((*COMMAND, *arguments), (("127.0.0.1", 6736),), environment, 18)
    service = read(service_unit(plan))["Service"]
    (command,) = service["ExecStart"]
    assert words(command, program=True) == list(plan.command)
    assigned = [words(value, program=False) for value in service.get("Environment", [])]
    assert assigned == [[f"{name}={value}"] for name, value in environment.items()]


@pytest.mark.parametrize("python", ["/a'b/python", '/a"b/python', "/a\\b/python", "/a${HOME}/python"])
def test_an_interpreter_that_systemd_would_not_run_is_refused(python: str) -> None:
    """Its program's path may not hold these, however they are quoted."""
    with pytest.raises(Unfit, match="systemd runs no program with a quote, a backslash or"):
        service_unit(Plan((python, "-P"), (), {}, 18))


@pytest.mark.parametrize("python", ["/a b/python", "/a%h/python", "/a$b/python", "/é/python"])
def test_other_paths_of_the_interpreter_arrive(python: str) -> None:
    """`$` is no variable in the program's own path."""
    (command,) = read(service_unit(Plan((python, "-P"), (), {}, 18)))["Service"]["ExecStart"]
    assert words(command, program=True) == [python, "-P"]


def test_systemd_knows_what_the_units_say(tmp_path: Path) -> None:
    """Every setting is one of its section; where the machine has systemd, it is asked too, and finds nothing."""
    plan = Plan(
        (shutil.which("true") or "", *COMMAND[1:], 'a $b %n "c"'), (("::1", 1), ("127.0.0.1", 1)), {"A": "%"}, 18
    )
    units = {"openline.socket": socket_unit(plan), "openline.service": service_unit(plan)}
    for name, text in units.items():
        (tmp_path / name).write_text(text)
        for section, settings in read(text).items():
            assert set(settings) <= KNOWN[section]
    if verify := shutil.which("systemd-analyze"):
        paths = [str(tmp_path / name) for name in units]
        ended = subprocess.run(  # noqa: S603 - no shell
            [verify, "verify", "--user", "--man=no", *paths],
            env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_the_agent_has_the_plan_as_it_is() -> None:
    """It is in launchd's own format: the command, the addresses by family, the environment, and where its lines go."""
    plan = Plan((*COMMAND, "a & <b> %n $c"), (("::1", 6736), ("127.0.0.1", 6736)), {"HTTPS_PROXY": "http://u:p&@h"}, 18)
    log = Path("/Users/somebody/Library/Logs/openline.log")
    assert plistlib.loads(agent(plan, log).encode()) == {
        "Label": LABEL,
        "ProgramArguments": [*plan.command, "--log-file", str(log)],
        "EnvironmentVariables": {"HTTPS_PROXY": "http://u:p&@h", LAUNCHD_VARIABLE: "api"},
        "Sockets": {
            "api": [
                {"SockType": "stream", "SockFamily": "IPv6", "SockNodeName": "::1", "SockServiceName": "6736"},
                {"SockType": "stream", "SockFamily": "IPv4", "SockNodeName": "127.0.0.1", "SockServiceName": "6736"},
            ]
        },
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
        "ExitTimeOut": 18,
        "Umask": 0o077,
    }
