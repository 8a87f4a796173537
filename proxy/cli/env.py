"""`openline env`: the lines by which a shell's programs use the Openline that runs."""

import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import click
import msgspec

from proxy.cli.client import Client, NoAnswer, NotRunning, find
from proxy.cli.port import Port
from proxy.cli.shells import SHELLS, Shell, shell_of
from proxy.instance import Instance
from proxy.settings_shown import TokenPlace
from proxy.settings_sources import TOKEN_VARIABLE

BASE_URL = "OPENAI_BASE_URL"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXEMPT = ("NO_PROXY", "no_proxy")


class _Settings(msgspec.Struct, frozen=True):
    """Of its settings, all that is needed here."""

    token: TokenPlace | None = None


@click.command()
@click.option("--port", type=Port(), help="The one whose callers use this port.")
@click.option(
    "--shell", type=click.Choice([*SHELLS, "json"]), help="For which shell; json: for a program.  [default: by $SHELL]"
)
def env(*, port: int | None, shell: str | None) -> None:
    """Print the lines to paste, or to evaluate, for the Openline that runs.

    In a shell: eval "$(openline env)". A token that it wants is in no line: the shell puts it in.
    """
    instance = find(port)
    token = None
    try:
        token = Client(instance).get("/settings", _Settings).token
    except NoAnswer as error:
        click.echo(f"openline: whether it wants a token cannot be told: {error.format_message()}", err=True)
    exempt = exemptions(instance.api, os.environ)
    shell = shell or shell_of(os.environ.get("SHELL", ""))
    if shell == "json":
        click.echo(_json(instance.api, token, exempt))
    else:
        click.echo("\n".join(_lines(SHELLS[shell], instance.api, token, exempt)))
        click.echo(f"# to use this: {SHELLS[shell].used(_command(instance))}")


def exemptions(base: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that keep calls to `base` from a forward proxy; none where they would not go there.

    Some programs read the one in upper case, some the other.
    """
    host = urlsplit(base).hostname or ""
    if not any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        return {}
    either = next((environ[name] for name in _EXEMPT if environ.get(name)), "")
    lists = {}
    for name in _EXEMPT:
        entries = [entry.strip() for entry in (environ.get(name) or either).split(",") if entry.strip()]
        wanted = ",".join(entries if {host, "*"} & set(entries) else [*entries, host])
        if wanted != environ.get(name):
            lists[name] = wanted
    return lists


def _lines(shell: Shell, base: str, token: TokenPlace | None, exempt: Mapping[str, str]) -> Iterator[str]:
    root = base.removesuffix("/v1")
    if token and token.plain_in_urls:
        yield shell.line_with_token(BASE_URL, f"{root}/t/", token, "/v1")
    else:
        yield shell.line(BASE_URL, base)
    for name, value in exempt.items():
        yield shell.line(name, value)
    if token and not token.plain_in_urls:
        yield f"# its token: in the header x-openline-token, or percent-encoded, as in {root}/t/TOKEN/v1"


def _command(instance: Instance) -> str:
    """This command, with the port where it takes that to find the instance."""
    try:
        alone = find(None).port == instance.port
    except NotRunning:  # several are
        alone = False
    return "openline env" if alone else f"openline env --port {instance.port}"


def _json(base: str, token: TokenPlace | None, exempt: Mapping[str, str]) -> str:
    """For a program, which has the token to read, and to put into a header or into the URL."""
    place = None
    if token:
        place = {"file": token.file} if token.file else {"variable": TOKEN_VARIABLE}
    return msgspec.json.encode({"base_url": base, "token": place, "environment": {BASE_URL: base, **exempt}}).decode()
