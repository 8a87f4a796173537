"""CORS: which web pages may call, and the headers by which their browser lets them, and shows them the answers."""

import re
from collections.abc import Iterable

from aiohttp import web

from proxy.errors import Answer, Problem, Refused

_ASKED_METHOD = "Access-Control-Request-Method"
_ASKED_HEADERS = "Access-Control-Request-Headers"
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
# Seconds for which a browser need not ask again; some of them take no more.
_MAX_AGE = "600"
# SDKs have some twenty headers; each is a name of letters and dashes.
_LONGEST_LIST = 4_096
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What is Openline's own, and what SDKs go by after an error: an answer from a socket has no list of the upstream's.
_EXPOSED = ("x-openline-route", "x-openline-reason", "x-request-id", "retry-after", "retry-after-ms", "x-should-retry")


class Cors:
    """The pages that may call: those whose origin is listed letter for letter, as browsers write it. `null` never is.

    Nothing is changed for requests without `Origin`. No page's browser is told to send or show cookies.
    """

    def __init__(self, allowed_origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.lower() for origin in allowed_origins)

    def admits(self, request: web.BaseRequest) -> bool:
        """Whether a request comes from no page, or from one that may call."""
        return self._origins.issuperset(request.headers.getall("Origin", ()))

    def preflight(self, request: web.BaseRequest) -> Answer:
        """What a page that may call may ask for: any method and header. Raises Refused: that is no list of headers."""
        listed = ",".join(request.headers.getall(_ASKED_HEADERS, ()))
        names = [name for part in listed.split(",") if (name := part.strip())]
        if len(listed) > _LONGEST_LIST or not all(map(_NAME.fullmatch, names)):
            raise Refused(Problem.BAD_REQUEST, f"{_ASKED_HEADERS} is no list of header names, or a very long one")
        headers = {
            "access-control-allow-methods": _METHODS,
            "access-control-max-age": _MAX_AGE,
            "vary": f"{_ASKED_HEADERS}, Access-Control-Request-Private-Network",
        }
        if names:
            headers["access-control-allow-headers"] = ", ".join(names)
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            headers["access-control-allow-private-network"] = "true"
        return Answer(204, b"", headers)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Runs just before the headers of any answer are written: a page that may call may read it."""
        origins = set(request.headers.getall("Origin", ()))
        if len(origins) != 1 or not self._origins.issuperset(origins):
            return
        headers = response.headers
        # The upstream's own word was meant for its own hosts: one answer names one origin.
        headers["Access-Control-Allow-Origin"] = origins.pop()
        headers.popall("Access-Control-Allow-Credentials", None)
        headers["Vary"] = _joined(headers.getall("Vary", ()), ("origin",))
        exposed = headers.getall("Access-Control-Expose-Headers", ())
        headers["Access-Control-Expose-Headers"] = _joined(exposed, _EXPOSED)


def is_preflight(request: web.BaseRequest) -> bool:
    """Whether a browser asks here what some page may do; it then sends neither token nor credential."""
    return request.method == "OPTIONS" and "Origin" in request.headers and _ASKED_METHOD in request.headers


def _joined(there: Iterable[str], more: Iterable[str]) -> str:
    """One list of the names in the header's values, and of those in `more` that are not among them."""
    names = [name for value in there for part in value.split(",") if (name := part.strip())]
    if "*" in names:
        return "*"
    known = {name.lower() for name in names}
    return ", ".join([*names, *(name for name in more if name not in known)])
