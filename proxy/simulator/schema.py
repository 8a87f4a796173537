"""Schema: an example value for the JSON schema of a tool's parameters or of a structured answer."""

from collections.abc import Callable, Mapping

_Label = Callable[[str, int], str]
_DEPTH = 8


def example(schema: Mapping[str, object], label: _Label, path: str = "") -> object:
    """A value for `schema`, the same for the same `label` (a function from a name and a length to hex digits)."""
    options = schema.get("enum")
    if isinstance(options, list) and options:
        return options[int(label(path, 4), 16) % len(options)]
    if "const" in schema:
        return schema["const"]
    union = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(union, list) and union and isinstance(union[0], dict):
        return example(union[0], label, path)
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        kind = kind[0]
    return _of_kind(kind, schema, label, path)


def _of_kind(kind: object, schema: Mapping[str, object], label: _Label, path: str) -> object:
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties")
        named = properties.items() if isinstance(properties, dict) and path.count("/") < _DEPTH else ()
        return {
            name: example(member if isinstance(member, dict) else {}, label, f"{path}/{name}") for name, member in named
        }
    if kind == "array":
        items = schema.get("items")
        return [example(items, label, f"{path}/0")] if isinstance(items, dict) and path.count("/") < _DEPTH else []
    number = int(label(path, 4), 16)
    if kind == "integer":
        return number % 100
    if kind == "number":
        return number % 100 + 0.5
    if kind == "boolean":
        return number % 2 == 0
    return None if kind == "null" else f"é ✓ {label(path, 8)}"
