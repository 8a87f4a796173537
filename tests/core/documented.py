"""Documented items: those of the installed SDK's own unions, so that what a new SDK brings comes by itself."""

import inspect
import typing
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType

from hypothesis import strategies as st
from openai.types.responses import ResponseOutputItem
from openai.types.responses.response_input_item import ResponseInputItem
from pydantic import BaseModel

from tests.core.spelling import Object, Value, numbers, texts, values

# Levels of an item; what lies deeper is any JSON.
_DEEPEST = 5


def _members(kind: object) -> Iterator[type[BaseModel]]:
    """The models of a union, however it is wrapped."""
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        yield kind
    elif typing.get_origin(kind) is typing.Annotated:
        yield from _members(typing.get_args(kind)[0])
    else:
        for inner in typing.get_args(kind):
            yield from _members(inner)


def _types(model: type[BaseModel]) -> list[str]:
    """What its items may have as their `type`; a message may do without, and so may a reference."""
    found = _literals(model.model_fields["type"].annotation)
    return found or (["message"] if "role" in model.model_fields else [])


def _literals(kind: object) -> list[str]:
    if typing.get_origin(kind) is typing.Literal:
        return [str(word) for word in typing.get_args(kind)]
    return [word for inner in typing.get_args(kind) for word in _literals(inner)]


def _documented(*unions: object) -> dict[str, list[type[BaseModel]]]:
    found: dict[str, list[type[BaseModel]]] = {}
    for union in unions:
        for model in _members(union):
            for name in _types(model):
                found.setdefault(name, []).append(model)
    return found


MODELS: Mapping[str, Sequence[type[BaseModel]]] = _documented(ResponseInputItem, ResponseOutputItem)
"""Each type of item, and how it may look: as it is sent, and as it is said."""


@st.composite
def items(draw: st.DrawFn, name: str) -> Object:
    """Any item of this type, each of its documented keys there, null or absent."""
    item = draw(_objects(draw(st.sampled_from(MODELS[name])), 0))
    return {**item, "type": name}


@st.composite
def _objects(draw: st.DrawFn, model: type[BaseModel], depth: int) -> Object:
    made: Object = {}
    for name, field in model.model_fields.items():
        if field.is_required() or draw(st.booleans()):
            made[field.alias or name] = draw(_values(field.annotation, depth + 1))
    return made


_PLAIN: dict[object, st.SearchStrategy[Value]] = {
    str: texts,
    int: st.integers(),
    float: numbers,
    bool: st.booleans(),
    NoneType: st.none(),
}


def _values(kind: object, depth: int) -> st.SearchStrategy[Value]:
    """Any JSON that this type annotation allows."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    made = _PLAIN.get(kind, values)
    if origin is typing.Annotated:
        made = _values(inner[0], depth)
    elif origin is typing.Literal:
        made = st.sampled_from(inner)
    elif origin in (typing.Union, UnionType):
        made = st.sampled_from(inner).flatmap(lambda chosen: _values(chosen, depth))
    elif depth > _DEEPEST:
        made = values
    elif origin is list:
        made = st.lists(_values(inner[0], depth + 1), max_size=2)
    elif origin is dict:
        made = st.dictionaries(texts, _values(inner[1], depth + 1), max_size=2)
    elif inspect.isclass(kind) and issubclass(kind, BaseModel):
        made = _objects(kind, depth)
    return made
