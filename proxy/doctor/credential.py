"""The credential: the API key that the checks of the host are made with, from a variable; it is never shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.doctor.checks import Finding, failed, skipped

USUAL = "OPENAI_API_KEY"
HOW = f"set {USUAL}, or name another variable with --api-key-env"
# What a header's value can be made of, and SDKs take for a key.
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Credential:
    """What the variable holds."""

    variable: str = field(repr=False)
    """Not to be told unless it is set: it could be a key, given in the wrong place."""
    key: str = field(repr=False)
    named: bool
    """Whether the user named the variable."""

    @property
    def given(self) -> bool:
        """Whether the variable is set, and not empty."""
        return bool(self.key)

    @property
    def usable(self) -> bool:
        """Whether it can be sent."""
        return _KEY.fullmatch(self.key) is not None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """How it goes to the host, if it can."""
        return [("authorization", f"Bearer {self.key}")] if self.usable else []

    def trouble(self) -> Finding | None:
        """What can be said of it without a host; None where that has to look at it."""
        if not self.given and self.named:
            text = "the variable that --api-key-env names is not set, or empty"
            return failed("credential", text, "set it in this shell; what is wanted is its name, not the key")
        if not self.given:
            return skipped("credential", "none was given, and what wants one is left out", HOW)
        if self.usable:
            return None
        text = f"what {self.variable} holds cannot be a key: it has a blank, a line end, or a character beyond ASCII"
        return failed("credential", text, "set it again, without that")


def credential(environ: Mapping[str, str], variable: str | None) -> Credential:
    """The key in the variable that was named, or in the usual one."""
    name = variable or USUAL
    return Credential(name, environ.get(name, ""), variable is not None)
