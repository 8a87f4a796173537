"""The simulator: a strict stand-in for the Responses API, to test agents and the proxy itself against."""

from proxy.simulator.behaviour import Behaviour, Link
from proxy.simulator.faults import Fault, Faults, possible
from proxy.simulator.journal import Entry, Handshake, Journal, Request
from proxy.simulator.model import Answer, Model, Recorded
from proxy.simulator.oracle import Oracle
from proxy.simulator.prompt import render, render_request
from proxy.simulator.simulator import Simulator

__all__ = [
    "Answer",
    "Behaviour",
    "Entry",
    "Fault",
    "Faults",
    "Handshake",
    "Journal",
    "Link",
    "Model",
    "Oracle",
    "Recorded",
    "Request",
    "Simulator",
    "possible",
    "render",
    "render_request",
]
