"""The way to the API: pooled WebSockets, plain HTTP, and what is known of each host."""
