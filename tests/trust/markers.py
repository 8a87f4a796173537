"""Markers: private strings of a session, one of each kind, and every form in which one could turn up."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote

# Header values are plain ASCII; texts have what JSON, URLs and terminals spell in other ways.
HEADERS: Mapping[str, str] = {
    "key": "sk-Zq7kKEYp1vR9tW3x",
    "api-key": "Yx4nAPIq8mB2cD6f",
    "organisation": "org-Wm5oORGs7hJ1kL9z",
    "project": "proj-Vb3pPRJt6gN8qS2w",
    "cookie": "sid=Ut2cCOOu5fM7rX4y",
    "token": "Kp8tTOKv4eH6jQ1d",
    "password": "Jr6pPASw3dG5hF9s",
    "own token": "Nq5zOWNt8pK3mW7x1R",
    "query": "Lo9qQRYx2cV4bN7m",
}
TEXTS: Mapping[str, str] = {
    "prompt": 'Hs1"PROé\\a',
    "instructions": 'Gd4"INSé\\b',
    "arguments": 'Fa7"ARGé\\c',
    "tool output": 'Es2"TOOé\\d',
    "encrypted": "gAAAAADp5ENCq3wE8",
    "answer": 'Cn3"ANSé\\f',
    "error": 'Bm6"ERRé\\g',
    "garbage": "Az9GARr4tY6u",
}
MARKERS: Mapping[str, str] = {**HEADERS, **TEXTS}


def forms(text: str) -> Iterator[bytes]:
    """The forms in which a text could turn up: as it is, escaped, encoded, or hashed without a key."""
    raw = text.encode()
    yield raw
    for once in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield once.encode()
        yield json.dumps(once)[1:-1].encode()
        yield repr(once.encode())[2:-1].encode()
    yield repr(text)[1:-1].encode()
    yield repr(raw)[2:-1].encode()
    yield quote(text).encode()
    yield raw.hex().encode()
    for shift in range(3):
        # In the middle of other bytes only the whole groups of three are spelled in one way.
        start = -(-shift * 8 // 6) if shift else 0
        coded = base64.b64encode(b"\0" * shift + raw)[start : (shift + len(raw)) // 3 * 4]
        yield coded
        yield coded.replace(b"+", b"-").replace(b"/", b"_")
    for digest in (hashlib.sha256(raw), hashlib.md5(raw, usedforsecurity=False), hashlib.blake2b(raw, digest_size=16)):
        yield digest.digest()
        yield digest.hexdigest().encode()
        yield base64.b64encode(digest.digest())


def found(data: bytes, markers: Mapping[str, str] = MARKERS) -> list[str]:
    """The names of the markers that turn up in `data`, in any form."""
    return [name for name, text in markers.items() if any(form in data for form in forms(text))]
