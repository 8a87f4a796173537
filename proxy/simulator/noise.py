"""Noise: frames that no protocol foresees, for faults."""

import msgspec

from proxy.simulator.faults import Fault


def text(fault: Fault) -> bytes:
    """The text of a `garbage`, `foreign_lane`, `stray` or `oversized` fault."""
    if fault.what == "garbage":
        return b'{"type": "response.output_text.del'
    event: dict[str, object] = {
        "type": "response.output_text.delta",
        "item_id": "msg_of_nobody",
        "output_index": 0,
        "content_index": 0,
        "delta": "not for you",
        "logprobs": [],
        "sequence_number": 7,
    }
    if fault.what == "foreign_lane":
        event["stream_id"] = "lane-of-nobody"
    elif fault.what == "oversized":
        event["delta"] = "x" * fault.size
    return msgspec.json.encode(event)


def binary() -> bytes:
    """The bytes of a `binary` fault: no text in any encoding that JSON knows."""
    return b"\x00\xff\xfe\x80binary\x00"
