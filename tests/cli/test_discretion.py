"""Discretion: what of a value strangers may read."""

import pytest

from proxy.cli import discretion
from proxy.settings_sources import leaves


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("mode", "off", "off"),
        ("mode", "marker", "a text of 6 characters"),
        ("pool.max_connections", 12, 12),
        ("verbose", True, True),
        ("drain_seconds", 0.5, 0.5),
        ("allowed_hosts", ["a", "b"], "a list of 2"),
        ("token_file", "/home/marker/token", "a text of 18 characters"),
        ("upstream.beta_header", "marker", "a text of 6 characters"),
        ("upstream.ca_file", "", ""),
        ("of_another_version", "marker", "a text of 6 characters"),
        ("listen", "0.0.0.0:80", "0.0.0.0:80"),
        ("listen", "box.marker:80", "…:80"),
        ("listen", "[::1]:80", "[::1]:80"),
        ("listen", "192.168.7.7:80", "…:80"),
        ("admin_listen", "off", "off"),
        ("admin_listen", "unix:/run/marker", "unix:…"),
        ("upstream.url", "https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("upstream.url", "https://marker.openai.azure.com/openai/v1", "https://….openai.azure.com/openai/v1"),
        ("upstream.url", "https://marker.example:8443/marker/v1", "https://…:8443/…/v1"),
        ("upstream.url", "http://[::1]:80/v1", "http://[::1]:80/v1"),
        ("upstream.url", "http://10.1.2.3/v1", "http://…/v1"),
    ],
)
def test_a_setting_tells_of_nobody(key: str, value: discretion.Value, told: discretion.Value) -> None:
    """Numbers, switches and words of the schema are told; of all else its kind, and hosts that everybody knows."""
    assert discretion.setting(key, value) == told


def test_defaults_may_be_told() -> None:
    """No setting's default is private, so none is changed: but lists, which are empty."""
    for leaf in leaves():
        if isinstance(leaf.default, str | int | float):
            assert discretion.setting(leaf.key, leaf.default) == leaf.default


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/responses", "/v1/responses"),
        ("/v1/files/file-marker/content", "/v1/files/…/content"),
        ("/v1/models?marker", "/v1/models"),
        ("/marker//v1/RESPONSES", "/…//v1/…"),
        ("-", "-"),
        ("", ""),
        ("other paths", "…"),
    ],
)
def test_a_path_is_that_of_an_api(path: str, told: str) -> None:
    """Each part that is not one of the API's own is left out, and the query."""
    assert discretion.path(path) == told


def test_a_method_is_one_of_http() -> None:
    """Callers may make up others."""
    assert [discretion.method(name) for name in ("POST", "-", "MARKER", "post")] == ["POST", "-", "another", "another"]
