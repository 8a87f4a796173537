"""Frames that no protocol foresees."""

import json

import pytest

from proxy.simulator import Fault, noise


def test_garbage_is_no_json() -> None:
    """It begins like an event, and breaks off."""
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(noise.text(Fault("garbage")))


def test_binary_is_no_text() -> None:
    """It cannot be decoded."""
    with pytest.raises(UnicodeDecodeError):
        noise.binary().decode()


def test_events_of_nobody() -> None:
    """A stray event names no lane, a foreign one names a lane nobody opened, an oversized one is as large as asked."""
    assert "stream_id" not in json.loads(noise.text(Fault("stray")))
    assert json.loads(noise.text(Fault("foreign_lane")))["stream_id"] == "lane-of-nobody"
    assert len(noise.text(Fault("oversized", size=5_000))) > 5_000
