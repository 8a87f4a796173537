"""CORS: what browsers are told, so that any page may ask directly (`dangerouslyAllowBrowser` of SDKs)."""

from aiohttp import web

# Any page: what protects the API is its key, which no browser adds by itself.
HEADERS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Request-ID"}


def preflight(request: web.BaseRequest) -> web.Response | None:
    """The answer to a browser's question whether a page may ask; None where this is no such question."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    asked = request.headers.get("Access-Control-Request-Headers")
    return web.Response(
        status=204,
        headers={
            **HEADERS,
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Max-Age": "600",
            **({"Access-Control-Allow-Headers": asked} if asked else {}),
        },
    )
