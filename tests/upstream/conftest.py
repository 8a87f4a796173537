"""What the tests of sockets share."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.upstream.peer import Peer, until
from tests.upstream.rig import Rig, rigged


def _sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - Path would resolve the links
        try:
            count += stat.S_ISSOCK(os.fstat(int(name)).st_mode)
        except OSError:  # the listing's own, closed by now
            continue
    return count


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fails a test that leaves a task or a socket behind."""
    sockets = _sockets()
    yield
    await until(lambda: len(asyncio.all_tasks()) == 1 and _sockets() == sockets)


@pytest.fixture
def no_trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A place for certificates, with no setting of the machine's in the way."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return tmp_path


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """Connections to a peer of the test's own."""
    async with rigged() as one:
        yield one


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """An upstream that a test plays by hand; it accepts every upgrade."""
    async with Peer() as one:
        yield one
