"""The benchmarks: what Openline costs and saves, measured with real processes on this machine's loopback."""
