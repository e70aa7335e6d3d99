"""Options of a stage as a dataclass, and the JSON schema of a config section from it.

    @dataclass(frozen=True)
    class CropOptions:
        \"\"\"What the section is about.\"\"\"

        scale: Annotated[float, limits(1.5, 10)] = 3.0
        \"\"\"What it means, its unit, and where the default is from.\"\"\"

A section is a dataclass that inherits from the options of each of its functions.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Options = TypeVar("Options")

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", Mapping: "object"}


class Limits(dict[str, Any]):
    """Keywords of JSON schema; hashable, as everything in a type must be."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


def limits(
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    is_odd: bool = False,
    **others: Any,
) -> Limits:
    """Limits of a value as JSON schema has them; ``above`` and ``below`` are not reached.

    >>> limits(0, below=1)
    {'minimum': 0, 'exclusiveMaximum': 1}
    """
    words = {
        "minimum": least,
        "maximum": most,
        "exclusiveMinimum": above,
        "exclusiveMaximum": below,
        "not": {"multipleOf": 2} if is_odd else None,
    }
    return Limits({word: value for word, value in words.items() if value is not None} | others)


Positive = Annotated[float, limits(above=0)]
NotNegative = Annotated[float, limits(0)]
Share = Annotated[float, limits(0, 1)]
Count = Annotated[int, limits(1)]
Natural = Annotated[int, limits(0)]


def names_of(kind: type) -> list[str]:
    """The options of a dataclass, as a config names them."""
    return [field.name for field in fields(kind)]


def options_of(kind: type[Options], values: Mapping[str, Any], **others: Any) -> Options:
    """A dataclass of options from the entries of a config section that it names, and ``others``."""
    names = set(names_of(kind)) - others.keys()
    return kind(**{name: values[name] for name in names if name in values}, **others)


@cache
def schema_of(section: type) -> dict[str, Any]:
    """JSON schema of a section: type, limits, default and description of each option."""
    hints, texts = get_type_hints(section, include_extras=True), _descriptions(section)
    return {
        "type": "object",
        "description": _one_line(section.__doc__ or ""),
        "additionalProperties": False,
        "properties": {
            field.name: _schema_of_type(hints[field.name])
            | ({"description": texts[field.name]} if field.name in texts else {})
            | _default_of(field)
            for field in fields(section)  # type: ignore[arg-type]
        },
    }


def _schema_of_type(hint: Any) -> dict[str, Any]:
    if is_dataclass(hint):
        return schema_of(hint)  # type: ignore[arg-type]
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if kind is Annotated:
        return _schema_of_type(parts[0]) | parts[1]
    if kind is UnionType:  # with None
        entry = _schema_of_type(parts[0])
        return entry | {"type": [entry["type"], "null"]}
    if kind is Literal:
        is_text = isinstance(parts[0], str)
        return {"enum": list(parts)} | ({} if is_text else {"type": _JSON_TYPES[type(parts[0])]})
    if kind is Sequence:
        return {"type": "array", "items": _schema_of_type(parts[0])}
    return {"type": _JSON_TYPES[kind]}


def _default_of(field: Field[Any]) -> dict[str, Any]:
    if field.default is not MISSING:
        return {"default": _plain(field.default)}
    return {} if field.default_factory is MISSING else {"default": field.default_factory()}


def _plain(value: Any) -> Any:
    """As JSON has it; of a section inside only what differs from its own defaults."""
    if is_dataclass(value):
        kind: Any = type(value)
        usual = vars(kind())
        return {name: entry for name, entry in vars(value).items() if entry != usual[name]}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@cache
def _descriptions(section: type) -> dict[str, str]:
    """The text below each option, of the classes that it is inherited from as well."""
    texts = {}
    for kind in reversed(section.__mro__[:-1]):
        (node,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
        for pair in pairwise(getattr(node, "body", ())):
            match pair:
                case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(text))):
                    texts[name] = _one_line(str(text))
    return texts


def _one_line(text: str) -> str:
    return " ".join(text.split())
