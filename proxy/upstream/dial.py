"""A dial: opening one WebSocket to the upstream, and what each way of failing means."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import truststore
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI

from proxy import __version__
from proxy.config import Settings
from proxy.core.recovery import Fault
from proxy.errors import Answer, TurnFault
from proxy.upstream.address import Address

_NO_WEBSOCKET = (404, 405, 426)
_FORBIDDEN = (401, 403)
_FOR_THE_CALLER = (429,)
_PASSED_HEADERS = (
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-request-id",
    "www-authenticate",
)
_LARGEST_EVENT = 256 * 1_048_576


class _Connect(connect):
    """A dial that follows no redirect: it would carry the credential elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@dataclass(frozen=True, slots=True)
class Dialler:
    """How this proxy opens sockets: one for all, as an SSL context is dear (20-40 ms)."""

    address: Address
    tls: ssl.SSLContext | None
    seconds: float
    compression: bool

    async def dial(self, headers: Sequence[tuple[str, str]]) -> ClientConnection:
        """Open a socket under this identity.

        Raises:
            TurnFault: NO_WEBSOCKET, UPGRADE_FORBIDDEN, UPGRADE_REFUSED (with the host's answer) or DIAL_FAILED.
        """
        try:
            return await _Connect(
                self.address.responses_socket,
                additional_headers=list(headers),
                user_agent_header=f"openline/{__version__}",
                compression="deflate" if self.compression else None,
                open_timeout=self.seconds,
                close_timeout=1,
                # Pings keep middleboxes awake; whether a line is alive is judged by what is heard on it, as pongs are
                # not seen while a slow caller holds the reader.
                ping_timeout=None,
                max_size=_LARGEST_EVENT,
                ssl=self.tls,
            )
        except InvalidStatus as error:
            raise _refused(error) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidProxy, InvalidURI, EOFError) as error:
            raise TurnFault(Fault.DIAL_FAILED, f"{type(error).__name__} while dialling the upstream") from error
        except ImportError as error:
            detail = "the environment names a SOCKS proxy, which needs the package python-socks"
            raise TurnFault(Fault.DIAL_FAILED, detail) from error


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


def dialler(settings: Settings, address: Address) -> Dialler:
    """The dialler that the settings call for."""
    tls = tls_context() if address.responses_socket.startswith("wss:") else None
    return Dialler(address, tls, settings.timeouts.dial_seconds, settings.upstream.compression)


def tls_context() -> ssl.SSLContext:
    """Verification against the operating system's roots, and `SSL_CERT_FILE` where that is set."""
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context
