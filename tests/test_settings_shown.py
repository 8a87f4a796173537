"""Shown settings: what their owner may read."""

from pathlib import Path

import pytest

from proxy.config import Settings, Upstream
from proxy.settings_shown import TokenPlace, show
from proxy.settings_sources import Origin, leaves
from proxy.token import Token

SECRET = "marker-0123456789abcdef"


def test_every_setting_is_shown_with_its_origin() -> None:
    """In the order of the schema, each with its value; an origin that is not known is none."""
    told = show(Settings(mode="off"), {"mode": Origin("flag", "--mode")})
    assert [each.key for each in told.settings] == [leaf.key for leaf in leaves()]
    assert (told.settings[0].value, told.settings[0].origin) == ("off", Origin("flag", "--mode"))
    assert told.settings[1].origin is None
    assert told.token is None
    assert {each.key: each.value for each in told.settings}["allowed_hosts"] == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("https://mine.openai.azure.com/openai/v1/", "https://mine.openai.azure.com/openai/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        (f"https://gateway.example/{SECRET}/v1", "https://gateway.example/…"),
        (f"https://[::1]:8443/v1/{SECRET}", "https://[::1]:8443/…"),
    ],
)
def test_a_path_that_could_be_a_secret_is_left_out(url: str, shown: str) -> None:
    """Of the upstream's path only what all APIs have is shown."""
    values = {each.key: each.value for each in show(Settings(upstream=Upstream(url=url)), {}).settings}
    assert values["upstream.url"] == shown


def test_of_a_token_its_place_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole path of its file, or that it came from the variable; and whether a URL can hold it."""
    told = show(Settings(token=Token(SECRET)), {})
    assert told.token == TokenPlace(None, plain_in_urls=True)
    monkeypatch.chdir(tmp_path)
    told = show(Settings(token=Token(f"{SECRET}/"), token_file="mine"), {})
    assert told.token == TokenPlace(str(tmp_path / "mine"), plain_in_urls=False)
    assert SECRET not in repr(told)
