"""Answers: HTTP answers in the API's shapes, with the headers that the API sends."""

import secrets
from collections.abc import Mapping

import msgspec
from aiohttp import web

from proxy.simulator.errors import ApiError


def api_headers() -> dict[str, str]:
    """The headers of every answer of the API itself."""
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "openai-organization": "simulated",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "1999900",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "3ms",
    }


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`value` as JSON."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers={**api_headers(), **(headers or {})},
    )


def error_answer(error: ApiError) -> web.Response:
    """The API's error object with its status."""
    return json_answer(error.body(), error.status, error.headers)
