"""Control: faults and the journal from outside the process, under `/_simulator/`, loopback only."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import msgspec
from aiohttp import web

from proxy.simulator.errors import ApiError
from proxy.simulator.faults import Fault
from proxy.simulator.host import Host
from proxy.simulator.journal import Entry

PREFIX = "/_simulator/"
Strike = Callable[[Fault], Awaitable[None]]


async def handle(host: Host, strike: Strike, request: web.BaseRequest, body: bytes) -> web.Response:
    """Answer a control request; `strike` lets a fault happen now."""
    if not _loopback(request.remote):
        return _plain({"error": "the simulator is controlled from this machine only"}, 403)
    method, name = request.method, request.path.removeprefix(PREFIX)
    if method == "GET" and name in _SHOWN:
        return _plain(_SHOWN[name](host))
    if (method, name) == ("POST", "faults"):
        return await _add_faults(host, strike, body)
    if (method, name) == ("DELETE", "connections"):
        await strike(Fault("abort", "now"))
    elif (method, name) in _ACTS:
        _ACTS[method, name](host)
    else:
        return _plain(ApiError(404, f"No such control call: {method} {request.path}").body(), 404)
    return web.Response(status=204)


def _clear_journal(host: Host) -> None:
    host.journal.clear()
    host.handshakes.clear()
    host.requests.clear()


async def _add_faults(host: Host, strike: Strike, body: bytes) -> web.Response:
    try:
        faults = msgspec.json.decode(body, type=list[Fault])
    except msgspec.DecodeError as error:
        return _plain({"error": f"expected a JSON list of faults: {error}"}, 400)
    for fault in faults:
        if fault.where == "now":
            await strike(fault)
        else:
            host.faults.add(fault)
    return _plain({"waiting": len(host.faults)})


def _described(entry: Entry) -> dict[str, object]:
    """An entry as JSON: the raw bytes by their number, credentials not at all."""
    described: dict[str, object] = msgspec.to_builtins(
        {name: getattr(entry, name) for name in Entry.__dataclass_fields__ if name != "raw"}
    )
    described["headers"] = [
        [name, "***" if name.lower() in {"authorization", "api-key"} else value] for name, value in entry.headers
    ]
    return {**described, "size": entry.size}


def _plain(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


def _loopback(remote: str | None) -> bool:
    return remote is not None and ipaddress.ip_address(remote.partition("%")[0]).is_loopback


_SHOWN: Mapping[str, Callable[[Host], object]] = MappingProxyType(
    {
        "faults": lambda host: {"waiting": len(host.faults), "struck": host.faults.struck},
        "journal": lambda host: [_described(entry) for entry in host.journal],
        "connections": lambda host: {"connections": len(host.sockets)},
    }
)
_ACTS: Mapping[tuple[str, str], Callable[[Host], None]] = MappingProxyType(
    {
        ("DELETE", "faults"): lambda host: host.faults.clear(),
        ("DELETE", "journal"): _clear_journal,
        ("POST", "release"): lambda host: host.faults.release(),
    }
)
