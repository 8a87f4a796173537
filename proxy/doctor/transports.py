"""The two transports: what the upstream answers over plain HTTP and to the upgrade, each asked once."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from secrets import token_bytes, token_hex
from types import TracebackType
from typing import Self

from websockets.exceptions import InvalidStatus

from proxy import __version__
from proxy.config import OWN_HEADERS, Settings
from proxy.core.fingerprint import Fingerprints
from proxy.core.recovery import Fault
from proxy.doctor.checks import Finding, failed, limit, note, ok, skipped
from proxy.doctor.credential import HOW, Credential
from proxy.doctor.road import patience
from proxy.errors import Refused, TurnFault
from proxy.telemetry.logs import duration
from proxy.upstream.address import PoolKey, pool_key
from proxy.upstream.dial import dialler
from proxy.upstream.http import HttpRequest, PlainHttp
from proxy.upstream.way import Way

_WANTS_CREDENTIAL = (401, 403)
_NO_SUCH_CALL = (404, 405, 410, 501)
_LIMITED = 429
_MOST_APART = 120.0
_PLAIN = "everything goes over plain HTTP, and nothing is gained"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back over plain HTTP."""

    status: int
    seconds: float
    apart: float | None
    """By how many seconds the clock here is ahead of the host's, if that tells its time."""
    openline: bool
    """Whether it is an Openline that answers."""

    @property
    def refuses(self) -> bool:
        """Whether it is what a Responses API says to a create that it looked at, and cannot use."""
        return 400 <= self.status < 500 and self.status not in (*_WANTS_CREDENTIAL, *_NO_SUCH_CALL, _LIMITED)


class Transports:
    """Found out by its checks, in this order: clock, http, websocket, credential. To be entered and left."""

    def __init__(self, settings: Settings, way: Way, credential: Credential) -> None:
        self.has_websocket = False
        upstream = settings.upstream
        fingerprints = Fingerprints(token_bytes(32))
        self.key: PoolKey = pool_key(
            way.address, credential.headers, upstream.identity_headers, upstream.beta_header, fingerprints
        )
        """Who asks."""
        self._settings = settings
        self._way = way
        self._credential = credential
        self._http = PlainHttp(way, settings, f"1.1 openline-{token_hex(6)}")
        self._answer: _Answer | str | None = None
        self._dial_seconds = limit(settings.timeouts.dial_seconds)

    async def __aenter__(self) -> Self:
        """Nothing is asked yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.close()

    async def clock(self) -> Finding:
        """Whether the time here is the host's: certificates and tokens are judged by it."""
        answer = await self._ask()
        if isinstance(answer, str):
            return skipped("clock", "the upstream told no time, see http")
        if answer.apart is None:
            return note("clock", "not compared: the upstream's answer has no time that can be read")
        far = _span(abs(answer.apart))
        if abs(answer.apart) <= _MOST_APART:
            return ok("clock", f"the clock here and the upstream's are {far} apart")
        how = "ahead of" if answer.apart > 0 else "behind"
        return failed(
            "clock",
            f"the clock here is {far} {how} the upstream's: certificates and tokens are judged by it",
            "let the system set it by the network (NTP)",
        )

    async def http(self) -> Finding:
        """Whether creates are taken over plain HTTP; one without a body is refused, and costs nothing."""
        answer = await self._ask()
        if isinstance(answer, str):
            return failed("http", answer, "check upstream.url (https:// or http://?) and what is on the way")
        if answer.openline:
            text = f"an Openline answers there, with {answer.status}: it passes on to an upstream of its own"
            return note("http", text, "if that is not meant, set upstream.url to the API itself")
        status, when = answer.status, duration(answer.seconds)
        if status in _WANTS_CREDENTIAL:
            how = "see credential" if self._credential.usable else "as it wants a credential"
            return ok("http", f"answers {status}, {how}, {when}")
        if status == _LIMITED:
            return note("http", "answers 429: it takes no more for now", "check the account's limits, or wait")
        if answer.refuses:
            return ok("http", f"answers {status} to a create without a body, as it should, {when}")
        return failed("http", f"answers {status} to a create without a body: {_cause(status)}", _remedy(status))

    async def websocket(self) -> Finding:
        """Whether the host takes the upgrade."""
        began = time.perf_counter()
        try:
            socket = await dialler(self._settings, self._way).dial(self.key.headers, patience(self._dial_seconds))
        except TurnFault as fault:
            return self._no_websocket(fault)
        self.has_websocket = True
        packed = "compressed" if socket.protocol.extensions else "not compressed"
        seconds = time.perf_counter() - began
        await socket.close()
        return ok("websocket", f"the upgrade works, {packed}, {duration(seconds)}")

    async def credential(self) -> Finding:
        """Whether the host takes the credential that was given."""
        trouble = self._credential.trouble()
        if trouble:
            return trouble
        answer = await self._ask()
        name = self._credential.variable
        if self.has_websocket:
            return ok("credential", f"the host takes the one in {name}")
        if isinstance(answer, _Answer) and answer.status in _WANTS_CREDENTIAL:
            text = f"the host refuses the one in {name}: it answers {answer.status}"
            return failed("credential", text, "check that it is whole, valid, and for this host")
        if isinstance(answer, _Answer) and answer.refuses:
            return ok("credential", f"the host takes the one in {name}")
        return skipped("credential", "the host did not get to look at it, see http")

    async def _ask(self) -> _Answer | str:
        """Send a create without a body, once; a text says why there is no answer."""
        if self._answer is None:
            own = [("user-agent", f"openline/{__version__}"), ("accept", "*/*"), ("content-type", "application/json")]
            request = HttpRequest("POST", "/v1/responses", (*self.key.headers, *own), b"")
            began, seconds = time.perf_counter(), limit(self._settings.timeouts.first_event_seconds)
            try:
                async with asyncio.timeout(seconds):
                    response = await self._http.open(request)
            except TimeoutError:
                self._answer = f"no answer within {seconds:g} s"
            except Refused as refused:
                self._answer = f"no answer that can be read ({refused.detail or refused.problem.value[2]})"
            else:
                apart = _apart(response.headers.get("date", ""))
                openline = any(name.lower().startswith(OWN_HEADERS) for name in response.headers)
                self._answer = _Answer(response.status, time.perf_counter() - began, apart, openline)
                response.close()
        return self._answer

    def _unopened(self, fault: TurnFault) -> str:
        if isinstance(fault.__cause__, InvalidStatus):
            return fault.detail
        if isinstance(fault.__cause__, TimeoutError):
            return f"no answer to the upgrade within {self._dial_seconds:g} s"
        return "no answer to the upgrade that can be read"

    def _no_websocket(self, fault: TurnFault) -> Finding:
        if fault.fault is Fault.NO_WEBSOCKET:
            text = f"{fault.detail}: it has no WebSocket mode there, so {_PLAIN}"
            return failed("websocket", text, "check the path of upstream.url, or ask whoever runs the host for it")
        if fault.fault is Fault.UPGRADE_REFUSED:
            return note("websocket", f"{fault.detail}: it takes no more for now", "check the account's limits, or wait")
        if fault.fault is not Fault.UPGRADE_FORBIDDEN:
            text = f"{self._unopened(fault)}: as long as that is so, {_PLAIN}"
            return failed("websocket", text, "let WebSockets through in the gateways and firewalls on the way")
        if not self._credential.usable:
            return note("websocket", f"the host wants a credential to tell: {fault.detail}", HOW)
        if isinstance(self._answer, _Answer) and self._answer.status in _WANTS_CREDENTIAL:
            return skipped("websocket", f"{fault.detail}, see credential")
        text = f"{fault.detail}, though not plain HTTP: {_PLAIN}"
        return failed("websocket", text, "ask whoever runs the host, or a gateway on the way, to allow WebSockets")


def _cause(status: int) -> str:
    if status in _NO_SUCH_CALL:
        return "there is no Responses API at this URL"
    return "it is in trouble" if status >= 500 else "a Responses API would refuse that"


def _remedy(status: int) -> str:
    if status in _NO_SUCH_CALL:
        return "check the path of upstream.url: most end in /v1"
    if status >= 500:
        return "see how the host is doing, or try again later"
    return "check upstream.url, and whether a sign-in page, say, answers in its place"


def _apart(date: str) -> float | None:
    """By how many seconds it is later here than a Date header says."""
    try:
        there = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (datetime.now(UTC) - there.replace(tzinfo=there.tzinfo or UTC)).total_seconds()


def _span(seconds: float) -> str:
    """Of clocks, nobody minds less than a second."""
    for size, unit, most in ((1, "s", 180), (60, "min", 10_800), (3_600, "h", 259_200)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
