"""Histories compared in two ways: by our fingerprints, and by the prompts that the simulator renders of them."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from proxy.core.fingerprint import Fingerprints
from proxy.core.meaning import Rules
from proxy.simulator import render_request
from tests.core.spelling import Object

FAITHFUL = Rules()
KNOWN_HOST = Rules(summaries_count=False)
STRICT = Rules("strict")

Spelled: TypeAlias = "str | Object"


def raw(item: Spelled) -> bytes:
    """The item's bytes; a text is taken as the JSON that it is."""
    return (item if isinstance(item, str) else json.dumps(item)).encode()


def mark(items: Sequence[Spelled], rules: Rules = FAITHFUL, stored: Mapping[str, Spelled] | None = None) -> bytes:
    """The fingerprint of a history; `stored` are the items that references may name."""
    prints = Fingerprints(bytes(32))

    def named(name: str) -> bytes | None:
        meant = prints.item(raw(stored[name]), rules) if stored and name in stored else None
        return meant if isinstance(meant, bytes) else None

    return prints.chain(b"scope", prints.items([raw(item) for item in items], rules, named))[-1]


def prompt(items: Sequence[Spelled], rules: Rules = FAITHFUL, stored: Mapping[str, Spelled] | None = None) -> str:
    """What the simulator's model is given for a history."""
    known = {name: json.loads(raw(item)) for name, item in (stored or {}).items()}
    body = {"input": [json.loads(raw(item)) for item in items]}
    return render_request(body, stored=known, summaries_count=rules.summaries_count)


def assert_equal(one: Spelled, other: Spelled, rules: Rules = FAITHFUL) -> None:
    """Both have one fingerprint, and the model is given the same text for both."""
    assert mark([one], rules) == mark([other], rules)
    assert prompt([one], rules) == prompt([other], rules)


def assert_different(one: Spelled, other: Spelled, rules: Rules = FAITHFUL) -> None:
    """They have two fingerprints, and the model is given two texts."""
    assert mark([one], rules) != mark([other], rules)
    assert prompt([one], rules) != prompt([other], rules)
