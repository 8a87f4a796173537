"""The demo: one small agent run twice against the simulator, directly and through the proxy, and the figures."""
