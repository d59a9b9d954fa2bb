"""Reads a YAML file as a schema's model; reports all that is wrong with it, each with its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from overt.data.errors import InputError
from overt.data.yaml.problems import Mark, Problems, YamlError, nearest
from overt.data.yaml.schema import Fault
from overt.data.yaml.syntax import TreeError
from overt.data.yaml.tree import MAX_BYTES, MAX_DEPTH, Scalar, decode, parse
from overt.data.yaml.values import Document, Place, found
from overt.data.yaml.values import Path as TreePath
from overt.data.yaml.words import explain

T = TypeVar("T")

# Each round of validation leaves out what the last one found wrong; what is wrong in a value can make its
# mapping wrong, and so on up.
_MAX_ROUNDS = 2 * MAX_DEPTH


def read_yaml(path: Path, model: type[T], *, what: str) -> T:
    """The model that a file declares.

    Args:
        path: the file.
        model: a `Schema`, or any type that pydantic can validate.
        what: the kind of file in words, as messages name it: "policy".

    Raises:
        InputError: the file cannot be read.
        YamlError: it is not YAML, or says something wrong; the error holds every problem.
    """
    return parse_yaml(read_bytes(path, what), str(path), model, what=what)


def parse_yaml(data: bytes, file: str, model: type[T], *, what: str) -> T:
    """The model that the bytes of a file declare; arguments and errors as of `read_yaml`."""
    problems = Problems()
    made = read_parts(data, file, model, problems, what=what)
    if made is None or problems.found:
        raise YamlError(problems.found, what)
    return made


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of a file, one more than is allowed at most.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    try:
        with path.expanduser().open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a ~user that nobody is
        reason = getattr(error, "strerror", None) or error
        message = f"cannot read the file of the {what}: {reason}"
        raise InputError(message, where=str(path), fix=similar_file(path)) from error


def similar_file(path: Path) -> str:
    """A hint that names the YAML file beside `path` whose name comes closest."""
    try:
        folder = path.expanduser().parent
        names = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
    except (OSError, ValueError, RuntimeError):
        return "its folder cannot be read"
    return nearest(path.name, names, "YAML files in that folder")


def read_parts(
    data: bytes, file: str, model: type[T], problems: Problems, *, what: str, named_by: str = ""
) -> T | None:
    """The model, made of all in the file that is right; what is wrong is added to `problems`.

    Args:
        named_by: the field by which entries of lists are named in messages, as in "categories.violence".

    Returns:
        None if too little is right: a field that the whole file must have is missing or wrong.
    """
    try:
        root = parse(decode(data, file, what), file, what)
    except TreeError as error:
        problems.add(error.mark, "", error.message, error.hint)
        return None
    document = Document(root if root is not None else Scalar(Mark(file), "", True, "null"), named_by)
    document.check_names(problems)
    adapter = TypeAdapter(model)
    for _ in range(_MAX_ROUNDS):
        try:
            return adapter.validate_python(document.values(), strict=True)
        except ValidationError as error:
            wrong = list(_problems(error, document, problems))
        before = len(document.dropped)
        document.dropped.update(wrong)
        if () in document.dropped or len(document.dropped) == before:
            return None
    return None


def _problems(error: ValidationError, document: Document, problems: Problems) -> Iterator[TreePath]:
    """Reports a round's errors; yields the paths of the values that are wrong.

    An error about a value of which a part was left out before says nothing new: it is not reported. Nor is
    that a list is too short of which pydantic counts only the entries that are right.
    """
    known = _with_parents(document.dropped)
    errors = list(_placed(error, document))
    inner = _with_parents(place.path[:-1] for _, _, place in errors)
    for details, fault, place in errors:
        if details["type"] == "too_short" and place.path in inner:
            continue
        if place.full not in known:
            _report(details, fault, place, document, problems)
        yield place.path


def _with_parents(paths: Iterable[TreePath]) -> set[TreePath]:
    return {path[:n] for path in paths for n in range(len(path) + 1)}


def _placed(error: ValidationError, document: Document) -> Iterator[tuple[ErrorDetails, Fault | None, Place]]:
    for details in error.errors(include_url=False, include_input=False):
        for fault in details.get("ctx", {}).get("faults") or (None,):
            at = fault.at if isinstance(fault, Fault) else ()
            yield details, fault, document.place((*details["loc"], *at))


def _report(
    details: ErrorDetails, fault: Fault | None, place: Place, document: Document, problems: Problems
) -> None:
    mark, node = place.node.mark, place.node
    if fault is not None:
        message, hint = fault.message.replace("{found}", found(node)), fault.hint
        if not place.path and isinstance(node, Scalar) and node.type == "null":
            message = f"the file is empty: {message.rpartition(',')[0]}"
    else:
        parent = place.path if place.missing else place.path[:-1]
        if details["type"] == "extra_forbidden" and place.key is not None:
            mark = place.key.mark
        message, hint = explain(details, place, document.fields_at(parent))
    problems.add(mark, place.field, message, hint)
