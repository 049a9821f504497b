"""The configuration of a step: its class's annotated attributes.

Owns how they are described as a JSON Schema, which becomes a section of the component, and how they are read from JSON.
The host compares `pipeline.toml` with the description before it starts the step, and names the line that is wrong.
"""

from __future__ import annotations

import copy
import enum
import inspect
import json
import types
import typing
from typing import Any

from .errors import InvalidConfig

MISSING = object()
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


Fields = dict[str, tuple[Any, Any]]


def fields(step: type) -> Fields:
    """Returns the type and the default of each attribute that is configuration; those that begin with `_` are not."""
    found = {}
    for name, of in typing.get_type_hints(step, include_extras=True).items():
        if name.startswith("_") or typing.get_origin(of) is typing.ClassVar or of is typing.ClassVar:
            continue
        described(of, name)
        found[name] = (of, getattr(step, name, MISSING))
    return found


def described(of: Any, name: str) -> dict[str, Any]:
    """Returns the JSON Schema of a type. Raises `TypeError` if a configuration cannot have it."""
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin is typing.Annotated:
        texts = [text for text in arguments[1:] if isinstance(text, str)]
        return described(arguments[0], name) | ({"description": " ".join(texts)} if texts else {})
    if of in JSON_TYPES:
        return {"type": JSON_TYPES[of]}
    if of is Any:
        return {}
    if of is type(None):
        return {"type": "null"}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [described(part, name) for part in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return {"enum": [member.value for member in of]}
    if of is list or origin is list:
        return {"type": "array"} | ({"items": described(arguments[0], name)} if arguments else {})
    if of is dict or origin is dict and arguments[0] is str:
        return {"type": "object"} | ({"additionalProperties": described(arguments[1], name)} if arguments else {})
    raise TypeError(
        f"`{name}` cannot be configuration: {of!r} is none of `str`, `int`, `float`, `bool`, `list[…]`, "
        "`dict[str, …]`, `Literal[…]`, an enum, and these with `| None` (an attribute that is no configuration begins "
        "with `_`)"
    )


def schema(step: type) -> dict[str, Any]:
    """Returns the JSON Schema of a step's configuration, with the comments at its attributes."""
    properties, required, comments = {}, [], comments_of(step)
    for name, (of, default) in fields(step).items():
        text = {"description": comments[name]} if name in comments else {}
        properties[name] = text | described(of, name)
        if default is MISSING:
            if not is_optional(of):
                required.append(name)
        elif default is not None:
            properties[name]["default"] = default.value if isinstance(default, enum.Enum) else default
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def comments_of(step: type) -> dict[str, str]:
    """Returns the comment of each attribute: behind it, or else in the lines above it."""
    try:
        lines = inspect.getsource(step).splitlines()
    except (OSError, TypeError):
        return {}
    comments: dict[str, str] = {}
    above: list[str] = []
    for line in lines:
        code, mark, comment = _split_comment(line)
        name = code.split(":")[0].strip()
        if mark and not code.strip():
            above.append(comment)
            continue
        if ":" in code and name.isidentifier():
            text = comment if mark else " ".join(above)
            if text:
                comments.setdefault(name, text)
        above = []
    return comments


def _split_comment(line: str) -> tuple[str, str, str]:
    """Returns a line's code, the mark of its comment if it has one, and the comment."""
    quote = ""
    for place, character in enumerate(line):
        if quote:
            quote = "" if character == quote and line[place - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character == "#":
            return line[:place], "#", line[place + 1 :].lstrip("#: ").rstrip()
    return line, "", ""


def is_optional(of: Any) -> bool:
    return type(None) in typing.get_args(of)


def configure(step: Any, known: Fields, text: str) -> None:
    """Sets the attributes of a step, which are known, to its configuration, which is a JSON object.

    Raises `InvalidConfig`, with the field that is wrong.
    """
    given = json.loads(text)
    for name in given:
        if name not in known:
            names = "`, `".join(known)
            which = f"known fields: `{names}`" if known else "this step takes no configuration"
            raise InvalidConfig(f"unknown field `{name}` ({which})")
    for name, (of, default) in known.items():
        if name in given:
            setattr(step, name, value(of, given[name], name))
        elif default is MISSING:
            if not is_optional(of):
                raise InvalidConfig(f"missing field `{name}`")
            setattr(step, name, None)
        else:
            setattr(step, name, copy.deepcopy(default))


def value(of: Any, found: Any, name: str) -> Any:
    """Returns a value of the configuration as its type. Raises `InvalidConfig` if it has another."""
    origin, arguments = typing.get_origin(of), typing.get_args(of)
    if origin is typing.Annotated:
        return value(arguments[0], found, name)
    if of is Any or (of is type(None) and found is None):
        return found
    if of is float and type(found) is int:
        return float(found)
    if of in JSON_TYPES and type(found) is of:
        return found
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, found, name)
    if origin is typing.Literal and found in arguments:
        return found
    if isinstance(of, type) and issubclass(of, enum.Enum) and found in [member.value for member in of]:
        return of(found)
    if (of is list or origin is list) and isinstance(found, list):
        return [value(arguments[0], item, f"{name}[{i}]") for i, item in enumerate(found)] if arguments else found
    if (of is dict or origin is dict) and isinstance(found, dict):
        return {key: value(arguments[1], item, f"{name}.{key}") for key, item in found.items()} if arguments else found
    raise InvalidConfig(f"`{name}` is {json.dumps(found)}, which is not {_words(of)}")


def _one_of(types: tuple[Any, ...], found: Any, name: str) -> Any:
    for of in types:
        try:
            return value(of, found, name)
        except InvalidConfig:
            continue
    raise InvalidConfig(f"`{name}` is {json.dumps(found)}, which is not {' or '.join(map(_words, types))}")


def _words(of: Any) -> str:
    if typing.get_origin(of) is typing.Literal:
        return f"one of {', '.join(map(repr, typing.get_args(of)))}"
    if isinstance(of, type) and issubclass(of, enum.Enum):
        return f"one of {', '.join(repr(member.value) for member in of)}"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a text", type(None): "null"}
    return words.get(of) or ("a list" if of is list or typing.get_origin(of) is list else "a table")
