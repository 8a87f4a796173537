"""Units: the texts of the files by which systemd or launchd runs Openline. Made from a plan, and nothing else."""

import plistlib
import re
from pathlib import Path

from proxy.cli.services.plan import Plan, Unfit
from proxy.server.activation import API, LAUNCHD_VARIABLE

LABEL = "dev.openline"
"""What launchd calls the service."""
_MADE = "# Written by `openline service install`, which writes it anew. Your own lines: systemctl --user edit"
# What a user's manager can do without privileges, and without user namespaces, which some systems forbid.
_HARDENING = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""


def socket_unit(plan: Plan) -> str:
    """The unit that holds the address: connections wait in it while no process is there."""
    listen = "\n".join(f"ListenStream={address}" for address in plan.listen)
    return f"""\
{_MADE} openline.socket
[Unit]
Description=Openline, where callers reach it

[Socket]
{listen}
BindIPv6Only=ipv6-only
FileDescriptorName={API}

[Install]
WantedBy=sockets.target
"""


def service_unit(plan: Plan) -> str:
    """The unit that runs the process, from the first connection on.

    Exit status 2 is a setting that cannot be used: trying again would not help. 143 is an end by SIGTERM that left
    turns unfinished.

    Raises:
        Unfit: systemd runs no program at the interpreter's path.
    """
    python, *arguments = plan.command
    if re.search(r"""["'\\]|\$\{""", python):
        raise Unfit(f"{python}: systemd runs no program with a quote, a backslash or ${{ in its path: use another venv")
    command = " ".join((_quoted(python), *(_quoted(word.replace("$", "$$")) for word in arguments)))
    environment = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in plan.environment.items())
    return f"""\
{_MADE} openline.service
[Unit]
Description=Openline, a proxy for the Responses API
Requires=openline.socket
After=openline.socket

[Service]
Type=exec
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{environment}SyslogIdentifier=openline
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=2
SuccessExitStatus=143
TimeoutStopSec={plan.stop_seconds}
{_HARDENING}"""


def agent(plan: Plan, log: Path) -> str:
    """The property list of a launchd agent: launchd holds the address, and starts the process at a connection."""
    sockets = [
        {
            "SockType": "stream",
            "SockFamily": "IPv6" if ":" in host else "IPv4",
            "SockNodeName": host,
            "SockServiceName": str(port),
        }
        for host, port in plan.addresses
    ]
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [*plan.command, "--log-file", str(log)],
            "EnvironmentVariables": {**plan.environment, LAUNCHD_VARIABLE: API},
            "Sockets": {API: sockets},
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
            "ExitTimeOut": plan.stop_seconds,
            "Umask": 0o077,
        },
        sort_keys=False,
    ).decode()


def _quoted(word: str) -> str:
    """One word by systemd's rules: quotes, backslashes, and `%`, which begins what it puts in itself."""
    if re.fullmatch(r"[A-Za-z0-9_./:=,+-]+", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
