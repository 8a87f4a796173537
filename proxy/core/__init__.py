"""Decisions without I/O and without a clock: what a request means, what it continues, what a fault calls for."""
