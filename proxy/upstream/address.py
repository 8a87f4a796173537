"""An address: the upstream's URL for both transports, and the identity under which it is asked."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from proxy.core.fingerprint import Fingerprints

_SOCKET_SCHEME = {"http": "ws", "https": "wss"}
# The headers that say who asks; those, and only those, go on an upgrade.
IDENTITY = ("authorization", "api-key", "openai-organization", "openai-project", "openai-beta")
# A turn with such a header means something that a shared socket cannot carry.
SEMANTIC = ("idempotency-key", "cookie")
# What looks like a credential, or names an account (`ChatGPT-Account-ID`), may tell callers apart that share an
# Authorization. One that is not listed as part of the identity never meets a shared socket.
_CREDENTIAL = re.compile(
    r"(?:^|-)(?:api-?key|subscription-key|account-id|token|secret|credentials?)$|^cf-access-", re.IGNORECASE
)


def unlisted_credential(names: Iterable[str], listed: Collection[str]) -> bool:
    """Whether any header looks like a credential that no upgrade would carry."""
    return any(
        _CREDENTIAL.search(name) and name.lower() not in IDENTITY and name.lower() not in listed for name in names
    )


@dataclass(frozen=True, slots=True)
class Address:
    """The upstream's base URL, as settings have it."""

    base: str

    @property
    def responses_socket(self) -> str:
        """Where WebSocket mode is served."""
        scheme, netloc, path, _, _ = urlsplit(self.base)
        return urlunsplit((_SOCKET_SCHEME[scheme], netloc, path.rstrip("/") + "/responses", "", ""))

    def http(self, raw_path: str) -> str:
        """The URL for a path (and query) that a caller asked for: `/v1` stands for the base URL."""
        if raw_path == "/v1" or raw_path.startswith(("/v1/", "/v1?")):
            return self.base.rstrip("/") + raw_path[3:]
        scheme, netloc, _, _, _ = urlsplit(self.base)
        return f"{scheme}://{netloc}{raw_path}"


@dataclass(frozen=True, slots=True)
class PoolKey:
    """Whose connections these are: nothing crosses from one key to another."""

    digest: bytes
    headers: tuple[tuple[str, str], ...] = field(repr=False)


def pool_key(
    address: Address, headers: Iterable[tuple[str, str]], more: Sequence[str], beta: str, fingerprints: Fingerprints
) -> PoolKey:
    """The key of a request with these headers. `more` names further identity headers, `beta` is always asked for."""
    names = {*IDENTITY, *(name.lower() for name in more)}
    identity = sorted((name.lower(), value) for name, value in headers if name.lower() in names)
    if beta and not any(name == "openai-beta" and beta in value for name, value in identity):
        identity.append(("openai-beta", beta))
    parts = [text.encode("utf-8", "surrogateescape") for pair in identity for text in pair]
    return PoolKey(fingerprints.digest(b"pool", address.responses_socket.encode(), *parts), tuple(identity))
