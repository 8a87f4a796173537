"""Example values for JSON schemas."""

from typing import Any

import pytest

from proxy.simulator.schema import example


def label(path: str, length: int) -> str:
    """Digits that depend on the path."""
    return f"{sum(path.encode()):0{length}x}"[:length]


CASES: list[tuple[dict[str, Any], object]] = [
    ({"type": "null"}, None),
    ({"enum": ["a"]}, "a"),
    ({"const": 3}, 3),
    ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
    ({"type": ["null", "string"]}, None),
    ({"type": "integer"}, 0),
    ({"type": "number"}, 0.5),
    ({"type": "boolean"}, True),
    ({"type": "array"}, []),
    ({"type": "array", "items": {"const": 1}}, [1]),
    ({"properties": {"a": {"const": 1}, "b": True}}, {"a": 1, "b": "é ✓ 000000f0"}),
    ({"type": "object"}, {}),
    ({}, "é ✓ 00000000"),
]


@pytest.mark.parametrize(("schema", "value"), CASES, ids=str)
def test_each_kind_has_a_value(schema: dict[str, Any], value: object) -> None:
    """A value of the schema's type."""
    made = example(schema, label)
    if isinstance(value, dict) and "b" in value:
        assert isinstance(made, dict)
        assert (made["a"], str(made["b"])[:4]) == (1, "é ✓ ")
    else:
        assert made == value
        assert type(made) is type(value)


def test_endless_schemas_end() -> None:
    """A schema that holds itself is followed to a depth."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["again"] = schema
    assert "again" in str(example(schema, label))
    endless: dict[str, Any] = {"type": "array"}
    endless["items"] = endless
    assert str(example(endless, label)).startswith("[[")
