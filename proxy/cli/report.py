"""`openline report`: what an engineer needs to know of a running Openline, fit to be read by strangers."""

import os
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import click
import msgspec

from proxy import __version__
from proxy.cli import discretion
from proxy.cli.client import Client, find
from proxy.cli.port import Port
from proxy.cli.turns import Turn, remembered
from proxy.server.status import Status
from proxy.settings_shown import ShownSettings
from proxy.telemetry.summary import Summary

_TURNS = 50
_LIBRARIES = (
    *("aiohttp", "brotli", "cachetools", "click", "msgpack", "msgspec", "platformdirs", "prometheus-client"),
    *("truststore", "uvloop", "websockets", "backports.zstd"),
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_VARIABLES = (
    *_PROXIES,
    *(name.lower() for name in _PROXIES),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    "OPENAI_BASE_URL",
)
# Whatever is known of a turn beside these is left out.
_FIELDS = (
    *("id", "ended_at", "route", "reason", "status", "end", "request_bytes", "sent_bytes", "first_event_seconds"),
    *("total_seconds", "replays", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("context_suspect", "faults", "why", "would"),
)
_NOTICE = """\
openline: in the report are versions, the settings that are not the defaults (of texts their length alone), counts, and
openline: the last turns: ids, times, sizes, tokens, routes, reasons and faults. No prompt, answer, key, token, header,
openline: file name or name of a private host should be in it: read it before you send it."""


@click.command()
@click.option("--port", type=Port(), help="The one whose callers use this port.")
@click.option(
    "-o", "--output", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write it there."
)
def report(*, port: int | None, file: Path | None) -> None:
    """Write a report on the Openline that runs, as JSON, to attach to an issue.

    Nothing private should be in it: stderr says what is, and you read it before you send it.
    """
    client = Client(find(port))
    text = laid_out(_report(client, os.environ))
    if file is None:
        click.echo(text)
    else:
        try:
            file.write_text(f"{text}\n", "utf-8")
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    click.echo(_NOTICE + (f"\nopenline: it is in {file}" if file else ""), err=True)


def laid_out(told: Mapping[str, object]) -> str:
    """JSON, with a line for each entry of each section: so that a person can read it, and compare."""
    sections = []
    for name, section in told.items():
        entries = [f"    {_json(entry)}" for entry in section] if isinstance(section, list) else []
        if isinstance(section, dict):
            entries = [f"    {_json(key)}: {_json(value)}" for key, value in section.items()]
        inner = ",\n".join(entries)
        begin, end = "[]" if isinstance(section, list) else "{}"
        whole = isinstance(section, list | dict)
        text = f"{begin}\n{inner}\n  {end}" if inner else begin + end
        sections.append(f"  {_json(name)}: {text if whole else _json(section)}")
    return "{\n" + ",\n".join(sections) + "\n}"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _report(client: Client, environ: Mapping[str, str]) -> dict[str, object]:
    """The sections."""
    return {
        "made_at": _moment(datetime.now(UTC)),
        "versions": _versions(client.instance.version),
        "variables": [name for name in _VARIABLES if environ.get(name)],
        "settings": _settings(client.get("/settings", ShownSettings)),
        "status": _status(client.get("/status", Status)),
        "summary": _summary(client.get("/summary", Summary)),
        "turns": [_turn(turn) for turn, _ in remembered(client, _TURNS)],
    }


def _versions(running: str) -> dict[str, str | None]:
    """Of what runs, of this command, and of what it is built on."""
    return {
        "openline, running": running,
        "openline, this command": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        **{name: _version(name) for name in _LIBRARIES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _settings(told: ShownSettings) -> dict[str, object]:
    """Those that are not the defaults: value as far as it may be told, and the kind of its source."""
    given: dict[str, object] = {
        each.key: {"value": discretion.setting(each.key, each.value), "from": each.origin.kind if each.origin else None}
        for each in told.settings
        if each.origin is None or each.origin.kind != "default"
    }
    return {**given, "token": "asked for"} if told.token else given


def _status(told: Status) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(told)
    del fields["identity"]
    admin = told.identity.admin or "none"
    return {
        "api": discretion.url(told.identity.api or ""),
        "admin": discretion.address(admin) if admin.startswith("unix:") else discretion.url(admin),
        **fields,
        "upstream": discretion.url(told.upstream),
    }


def _summary(told: Summary) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(told)
    passed: Counter[str] = Counter()
    for path, count in told.passed.items():
        passed[discretion.path(path)] += count
    return {**fields, "passed": dict(passed)}


def _moment(at: datetime) -> str:
    """As log lines have it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


def _turn(turn: Turn) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(turn)
    told = {name: _rounded(fields[name]) for name in _FIELDS if fields[name]}
    told["ended_at"] = _moment(datetime.fromtimestamp(turn.ended_at, UTC))
    return told | {"request": f"{discretion.method(turn.method)} {discretion.path(turn.path)}"}
