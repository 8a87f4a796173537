"""The event loop of the commands that serve."""

import asyncio


def new_loop() -> asyncio.AbstractEventLoop:
    """The loop of uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
