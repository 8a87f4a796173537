"""Openline: stateless Responses calls in, deltas over a persistent WebSocket out."""

__version__ = "0.1.0"
