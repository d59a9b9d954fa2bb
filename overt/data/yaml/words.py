"""Translates pydantic's errors into plain messages with hints."""

from __future__ import annotations

import re

from pydantic_core import ErrorDetails

from overt.data.yaml.problems import nearest, shorten
from overt.data.yaml.tree import Mapping, Node, Scalar
from overt.data.yaml.values import About, Place, found

_MERGE = "merge keys are not read; write the fields out"
_TYPES = {
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "int_type": "a whole number",
    "float_type": "a number",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "of at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "of at most"),
}


def explain(error: ErrorDetails, place: Place, fields: dict[str, About]) -> tuple[str, str]:
    """The message and the hint for one of pydantic's errors.

    Args:
        error: one entry of `ValidationError.errors()`.
        place: the place of the wrong value.
        fields: the known fields of the mapping around it.
    """
    name = place.missing or next((step for step in reversed(place.path) if isinstance(step, str)), "")
    message, hint = _explain(error, place.node, name, fields)
    about = fields.get(name)
    return message, hint or (about.description if about is not None else "") or "write what is expected there"


def _explain(error: ErrorDetails, node: Node, name: str, fields: dict[str, About]) -> tuple[str, str]:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        example = fields[name].example if name in fields else "..."
        return f"the field {name} is missing", f"add: {name}: {example}"
    if kind == "extra_forbidden":
        hint = _MERGE if name == "<<" else nearest(name, fields, "fields here")
        return f"unknown field {shorten(name)!r}", hint
    if kind == "literal_error":
        return _choice(str(context["expected"]), node)
    if kind in _TYPES:
        return f"expected {_TYPES[kind]}, found {found(node)}", _type_hint(kind, node, name)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"expected a number {words} {_number(context[bound])}, found {found(node)}", ""
    if kind == "finite_number":
        return f"expected a number, found {found(node)}, which is not finite", ""
    return _size(kind, context, node) or (_plain(str(error["msg"])), "")


def _number(value: object) -> str:
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _choice(expected: str, node: Node) -> tuple[str, str]:
    options = re.findall(r"'([^']*)'", expected)
    said = options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    text = node.text if isinstance(node, Scalar) else ""
    return f"expected {said}, found {found(node)}", nearest(text, options)


def _size(kind: str, context: dict[str, object], node: Node) -> tuple[str, str] | None:
    if kind == "too_short":
        least, there = context["min_length"], context["actual_length"] or "an empty list"
        return f"expected at least {least} entr{'y' if least == 1 else 'ies'}, found {there}", ""
    if kind == "string_too_short":
        least = context["min_length"]
        what = "text" if least == 1 else f"a text of at least {least} characters"
        return f"expected {what}, found {found(node)}", ""
    if kind == "string_too_long":
        return f"expected at most {context['max_length']:,} characters, found more", "shorten it"
    if kind == "string_pattern_mismatch":
        return f"expected a text of the form {context['pattern']}, found {found(node)}", ""
    return None


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _type_hint(kind: str, node: Node, name: str) -> str:
    if kind == "tuple_type":
        return _list_hint(node, name)
    if isinstance(node, Mapping):
        key = node.entries[0][0] if len(node.entries) == 1 else None
        if isinstance(key, Mapping):  # {{prompt}} without quotes is a mapping whose name is a mapping
            return "{{...}} needs quotes"
        return "a text with ': ' in it needs quotes" if kind == "string_type" else "write a single value"
    if not isinstance(node, Scalar):
        return f"write {_TYPES[kind]}, without a list around it"
    if kind == "string_type":
        return _text_hint(node)
    if kind in ("int_type", "float_type"):
        return _number_hint(kind, node)
    return f"write {_TYPES[kind]}"


def _list_hint(node: Node, name: str) -> str:
    if isinstance(node, Mapping):
        return "begin each entry with '- '"
    if isinstance(node, Scalar) and node.type != "null":
        return f"for a single entry write: {name}: [{shorten(node.text, 40)}]"
    return "leave the field out, or write entries below it, each after '- '"


def _text_hint(node: Scalar) -> str:
    if node.type != "null":
        return f'put it in quotes: "{shorten(node.text, 40)}"'
    return f'if the word is meant, put it in quotes: "{node.text}"' if node.text else "write a text after it"


def _number_hint(kind: str, node: Scalar) -> str:
    if not node.plain and re.fullmatch(r"[+-]?[0-9.]+", node.text):
        return "write it without quotes"
    if kind == "int_type":
        return "decimal digits alone, without units, blanks or leading zeros"
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?\s*%", node.text):
        return f"write {float(node.text.rstrip('% ')) / 100:g}"
    if "," in node.text:
        return "a point, not a comma, before the decimals"
    return "digits, with a point before the decimals"
