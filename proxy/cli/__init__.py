"""The command line: `openline COMMAND`. A command's module is imported when that command runs, so help is quick."""

import builtins
import difflib
import errno
import gc
import importlib
import os
import sys
from types import MappingProxyType

import click

from proxy import __version__

# name: (module, what the list of commands says); the command in the module has the same name, unless Python has it
_COMMANDS = MappingProxyType(
    {
        "exec": ("proxy.cli.exec", "Run a command whose calls go through Openline, and say what that came to."),
        "run": ("proxy.cli.run", "Run the proxy in the foreground."),
        "start": ("proxy.cli.start", "Start it in the background."),
        "stop": ("proxy.cli.stop", "End the one in the background."),
        "restart": ("proxy.cli.restart", "Put a new process in its place; no caller is refused meanwhile."),
        "status": ("proxy.cli.status", "Say how it is doing."),
        "logs": ("proxy.cli.logs", "Show its log."),
        "mode": ("proxy.cli.control", "Show or change what is done with turns, from the next one on."),
        "reload": ("proxy.cli.control", "Have it read its settings anew."),
        "explain": ("proxy.cli.explain", "Say why turns were no deltas."),
        "report": ("proxy.cli.report", "Write a report to attach to an issue."),
        "service": ("proxy.cli.service", "Run it as a service: from login on, under systemd or launchd."),
        "env": ("proxy.cli.env", "Print the lines by which a shell uses it."),
        "config": ("proxy.cli.config", "Show the settings, or check a file of them."),
        "paths": ("proxy.cli.paths", "Say where its files are."),
        "completion": ("proxy.cli.completion", "Print the script by which a shell completes commands."),
        "simulate": ("proxy.cli.simulate", "Run a strict stand-in for the API, to test agents against."),
        "demo": ("proxy.cli.demo", "Show what is gained: no key, no network, under 30 seconds."),
        "doctor": ("proxy.cli.doctor", "Say whether Openline can work here: settings, ports, network, upstream."),
    }
)


# What a write answers where the file system, or the terminal, takes no more.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _LazyGroup(click.Group):
    """A group that lists its commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - same
        """Import the one command that is asked for."""
        if cmd_name not in _COMMANDS:
            return None
        # What is imported stays: looking for garbage among it is in vain, a hundred times now and in pauses later.
        gc.disable()
        try:
            module = importlib.import_module(_COMMANDS[cmd_name][0])
        finally:
            gc.enable()
        gc.freeze()
        command: click.Command = getattr(module, f"{cmd_name}_" if hasattr(builtins, cmd_name) else cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant, and its arguments. Raises UsageError, which names the one that is spelled so."""
        near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
        if near and args[0] not in _COMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - same
        """The list that `--help` shows."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="openline", message="%(prog)s %(version)s")
def cli() -> None:
    """Send stateless Responses API calls as deltas over a persistent WebSocket.

    Put `openline exec --` ahead of an agent's command. Or start a daemon with `openline start`, and paste the line
    that it prints.
    """


def _hold_streams() -> None:
    """Have closed standard streams lead nowhere: else a socket or a file of ours would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, and is closed for what we start


def main() -> None:
    """Run the command line. Any error is one line on stderr; a bad setting or option exits with 2."""
    _hold_streams()
    try:
        status = cli.main(prog_name="openline", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.ClickException as error:
        line = " ".join(error.format_message().split())
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        click.echo(f"openline: {line} (see {where} --help)" if where else f"openline: {line}", err=True)
        status = error.exit_code
    except click.Abort:  # Ctrl-C where a command does not answer signals itself
        status = 130
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        click.echo(f"openline: the output cannot be written: {error.strerror}", err=True)
        status = 1
    sys.exit(status)
