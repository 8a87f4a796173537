"""A dial: opening one WebSocket to the upstream, and what each way of failing means."""

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidProxyStatus, InvalidStatus, InvalidURI

from proxy import __version__
from proxy.config import Settings
from proxy.core.recovery import Fault
from proxy.errors import Answer, TurnFault
from proxy.upstream.patience import Patience
from proxy.upstream.socket import LARGEST_EVENT, Socket
from proxy.upstream.way import Way

_NO_WEBSOCKET = (404, 405, 426)
_FORBIDDEN = (401, 403)
_FOR_THE_CALLER = (429,)
PROXY_AUTHENTICATION = 407
_PASSED_HEADERS = (
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-request-id",
    "www-authenticate",
)
# At DEBUG the library logs every header and frame: not even who turns that on for all libraries is to find a key there.
_QUIET = logging.getLogger("openline.socket")
_QUIET.setLevel(logging.INFO)


class _Connect(connect):
    """A dial that follows no redirect: it would carry the credential elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Reaching(Socket):
    """A socket that asks for no upgrade."""

    async def handshake(self, *_: object, **__: object) -> None:
        """The library calls it once the connection, TLS included, is there."""


@dataclass(frozen=True, slots=True)
class Dialler:
    """How this proxy opens sockets."""

    way: Way
    seconds: float
    compression: bool

    async def dial(self, headers: Sequence[tuple[str, str]], patience: Patience) -> Socket:
        """Open a socket under this identity.

        Raises:
            TurnFault: NO_WEBSOCKET, UPGRADE_FORBIDDEN, UPGRADE_REFUSED (with the host's answer), NO_DESCRIPTOR or
                DIAL_FAILED.
        """
        return await self._opened(self._connect(headers, Socket), patience)

    async def reach(self, patience: Patience) -> Socket:
        """Open a connection as a dial does, by the forward proxy and over TLS, and ask for nothing on it.

        Raises:
            TurnFault: NO_DESCRIPTOR or DIAL_FAILED.
        """
        return await self._opened(self._connect((), _Reaching), patience)

    async def _opened(self, opening: _Connect, patience: Patience) -> Socket:
        try:
            async with patience.waiting(self.seconds):
                # It is what create_connection makes.
                return cast("Socket", await opening)
        except InvalidStatus as error:
            raise _refused(error) from error
        except InvalidProxyStatus as error:
            raise TurnFault(Fault.DIAL_FAILED, proxy_refused(error.response.status_code)) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidProxy, InvalidURI, EOFError) as error:
            if no_descriptor(error):
                raise TurnFault(Fault.NO_DESCRIPTOR, "no file descriptor is left for another socket") from error
            raise TurnFault(Fault.DIAL_FAILED, f"no WebSocket: {self.way.trouble(error)}") from error

    def _connect(self, headers: Sequence[tuple[str, str]], kind: type[Socket]) -> _Connect:
        forward = self.way.forward
        secure = self.way.address.responses_socket.startswith("wss:")
        # The library takes it for a proxy over TLS alone.
        to_proxy: Any = {"proxy_ssl": self.way.tls} if forward and forward.secure else {}
        return _Connect(
            self.way.address.responses_socket,
            additional_headers=list(headers),
            user_agent_header=f"openline/{__version__}",
            compression="deflate" if self.compression else None,
            create_connection=kind,
            open_timeout=None,
            close_timeout=1,
            logger=_QUIET,
            # Pings (every 20 s) keep middleboxes awake, and push the last frame out of the library's parser; whether a
            # line is alive is judged by what is heard on it: no pong is seen while a slow caller holds the reader.
            ping_timeout=None,
            max_size=LARGEST_EVENT,
            # A write is over once the kernel has all of it: what was cut short cannot have run. Not (0, 0): over TLS
            # Python would pause, every other time, with nothing left to be sent.
            write_limit=(1, 0),
            ssl=self.way.tls if secure else None,
            # Never the library's own look into the environment, which has other rules than plain HTTP's.
            proxy=forward.with_credential if forward else None,
            **to_proxy,
        )


def no_descriptor(error: BaseException) -> bool:
    """Whether this process, or this machine, has no file descriptor left: the host has no part in it."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def proxy_refused(status: int) -> str:
    """What a forward proxy's refusal means, in words for a person."""
    hint = ": check the user and the password in HTTPS_PROXY or HTTP_PROXY" if status == PROXY_AUTHENTICATION else ""
    return f"the forward proxy answered {status}{hint}"


def _refused(error: InvalidStatus) -> TurnFault:
    response = error.response
    detail = f"the upstream answered the upgrade with {response.status_code}"
    if response.status_code in _NO_WEBSOCKET:
        return TurnFault(Fault.NO_WEBSOCKET, detail)
    if response.status_code in _FORBIDDEN:
        return TurnFault(Fault.UPGRADE_FORBIDDEN, detail)
    if response.status_code in _FOR_THE_CALLER:
        headers = {
            name.lower(): value for name, value in response.headers.raw_items() if name.lower() in _PASSED_HEADERS
        }
        return TurnFault(
            Fault.UPGRADE_REFUSED, detail, Answer(response.status_code, bytes(response.body or b""), headers)
        )
    return TurnFault(Fault.DIAL_FAILED, detail)


def dialler(settings: Settings, way: Way) -> Dialler:
    """The dialler that the settings call for."""
    return Dialler(way, settings.timeouts.dial_seconds, settings.upstream.compression)
