"""Settings: frozen, validated, each documented here and in config.example.toml."""

from typing import Literal

import msgspec

Mode = Literal["on", "observe", "off"]
Match = Literal["strict", "faithful", "relaxed"]
Answer = Literal["auto", "yes", "no"]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the settings file."""


class Upstream(_Section):
    """The API host, and what is known of it beyond the capabilities table (`auto`: by host name)."""

    url: str = "https://api.openai.com/v1"
    verifies_ids: Answer = "auto"
    summaries_count: Answer = "auto"
    age_limit_seconds: float = 0.0
    frame_limit_bytes: int = 0
    identity_headers: tuple[str, ...] = ()
    semantic_headers: tuple[str, ...] = ()
    beta_header: str = ""
    compression: bool = True


class Pool(_Section):
    """How many sockets are held, and for how long."""

    max_connections: int = 128
    max_connections_per_key: int = 32
    wait_seconds: float = 1.0
    min_remaining_seconds: float = 300.0
    doubtful_after_seconds: float = 20.0
    pong_seconds: float = 3.0
    breaker_failures: int = 3
    breaker_seconds: float = 30.0
    recheck_seconds: float = 300.0


class Heads(_Section):
    """How many points to continue from are remembered, and for how long."""

    max_count: int = 20_000
    max_age_seconds: float = 86_400.0


class Timeouts(_Section):
    """The longest waits, in seconds."""

    dial_seconds: float = 5.0
    first_event_seconds: float = 600.0
    silence_seconds: float = 600.0
    write_seconds: float = 60.0
    keepalive_seconds: float = 15.0


class Limits(_Section):
    """The largest things accepted."""

    body_bytes: int = 134_217_728
    items: int = 50_000


class Settings(_Section):
    """All settings of one proxy."""

    mode: Mode = "on"
    match: Match = "faithful"
    listen: str = "127.0.0.1:6736"
    drain_seconds: float = 8.0
    replay: Literal["always", "unsent"] = "always"
    after_loss: Literal["cut", "failed"] = "cut"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    verbose: bool = False
    upstream: Upstream = Upstream()
    pool: Pool = Pool()
    heads: Heads = Heads()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
