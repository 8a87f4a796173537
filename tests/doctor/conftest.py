"""What the tests of the doctor share."""

import pytest

from tests.upstream.conftest import no_trust, nothing_left, peer

__all__ = ["no_trust", "nothing_left", "peer"]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the machine's own proxies and keys."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "openai_api_key"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
