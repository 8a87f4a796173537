"""Bodies: from the bytes of a request or frame to a JSON object."""

import sys
import zlib

import brotli
import msgspec

from proxy.simulator.errors import ApiError, RefusedError, invalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_UNPARSABLE = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library "
    "correctly. The API expects a JSON payload, but what was sent was not valid JSON.)"
)


def decompress(raw: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding (several are undone from the last); RefusedError when it cannot be."""
    for name in reversed([part.strip().lower() for part in encoding.split(",") if part.strip()]):
        try:
            raw = _decompress(raw, name)
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise invalid(f"The body is not valid {name}: {error}.") from error
    return raw


def _decompress(raw: bytes, name: str) -> bytes:
    if name in {"gzip", "x-gzip"}:
        return zlib.decompress(raw, zlib.MAX_WBITS | 16)
    if name == "deflate":
        wrapped = len(raw) > 1 and (raw[0] & 15) == 8 and (raw[0] << 8 | raw[1]) % 31 == 0
        return zlib.decompress(raw, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
    if name == "br":
        return bytes(brotli.decompress(raw))
    if name == "zstd":
        return bytes(zstd.decompress(raw))
    if name == "identity":
        return raw
    raise RefusedError(ApiError(415, f"Unsupported content encoding: {name}.", "unsupported_content_encoding"))


def parse(raw: bytes) -> dict[str, object]:
    """The JSON object in `raw`; RefusedError when there is none."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(_UNPARSABLE) from error
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object.")
    return value
