"""The command line of the simulated kubectl: words, flags, and the objects that they name."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field

from overt.data.json_types import Json
from overt.environments.operations.cluster.objects import ALL, BY_PLURAL, Found, Kind, Objects, Wrong, kind_of

MOST_CHARACTERS = 4_000  # of a command
_LONGEST = 500  # characters of a selector
_DEEPEST = 8  # of JSON in a patch

# Flags that take a value, and those that may stand alone.
_VALUED = {
    "namespace", "selector", "output", "replicas", "current-replicas", "grace-period", "patch", "type",
    "field-selector", "tail", "since", "container", "timeout", "sort-by", "for", "from", "from-literal",
    "to-revision", "revision", "limit", "filename", "pod-selector",
}  # fmt: skip
_ALONE = {
    "all-namespaces", "all", "force", "now", "wait", "ignore-not-found", "ignore-daemonsets",
    "delete-emptydir-data", "disable-eviction", "overwrite", "previous", "follow", "show-labels",
    "no-headers", "watch", "dry-run", "cascade", "containers", "record", "show-events",
}  # fmt: skip
_SHORT = {
    "n": "namespace", "l": "selector", "o": "output", "A": "all-namespaces", "p": "patch", "c": "container",
    "f": "filename", "w": "watch",
}  # fmt: skip
_SHORT_OF_LOGS = {"p": "previous", "f": "follow"}
_OF_A_SHELL = {"|", "||", "&&", ";", ">", ">>", "<", "&"}


@dataclass(frozen=True, slots=True)
class Line:
    """A command that was read. `flags` by their long names; one that stands alone is "true"."""

    verb: str
    words: tuple[str, ...] = ()
    flags: dict[str, str] = field(default_factory=dict)
    literals: tuple[str, ...] = ()  # of --from-literal, which may come more than once

    def is_set(self, flag: str) -> bool:
        return self.flags.get(flag, "false") not in ("false", "none")

    @property
    def namespace(self) -> str:
        return self.flags.get("namespace", "default")


def read_line(command: str) -> Line:
    """Reads a command, with or without the word kubectl before it.

    Raises:
        Wrong: it is too long, its quotes are not closed, it needs a shell, or a flag is unknown.
    """
    if len(command) > MOST_CHARACTERS:
        raise Wrong(f"error: argument list too long: a command has at most {MOST_CHARACTERS} characters")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Wrong(f"error: the command cannot be read: {error}") from error
    if words[:1] == ["kubectl"]:
        words = words[1:]
    if any(word in _OF_A_SHELL or word.endswith(";") or word == "kubectl" for word in words):
        raise Wrong("error: this is not a shell: one kubectl command a call, without pipes and redirections")
    return _flagged(words)


def _flagged(words: list[str]) -> Line:
    found: list[str] = []
    flags: dict[str, str] = {}
    literals: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            found.append(word)
            continue
        name, value = _flag(word, "logs" in found[:1])
        if value is None:
            value = next(rest, None) if name in _VALUED else "true"
        if value is None:
            raise Wrong(f"error: flag needs an argument: {word[:60]}")
        flags[name] = value
        if name == "from-literal":
            literals.append(value)
    if not found:
        raise Wrong("error: no command: begin with a verb, as in: kubectl get pods -n NAMESPACE")
    return Line(found[0], tuple(found[1:]), flags, tuple(literals))


def _flag(word: str, is_of_logs: bool) -> tuple[str, str | None]:
    """The long name of a flag and its value, where it stands in the same word."""
    if word.startswith("--"):
        name, has_value, value = word[2:].partition("=")
    else:
        short = {**_SHORT, **(_SHORT_OF_LOGS if is_of_logs else {})}
        name, value = short.get(word[1], word[1]), word[2:].removeprefix("=")
        has_value = value
    if name not in _VALUED | _ALONE:
        raise Wrong(f"error: unknown flag: {word[:60]}")
    return name, (value if has_value else None)


# -- objects -------------------------------------------------------------------------------------------------


def named(line: Line, objects: Objects, words: tuple[str, ...] | None = None) -> list[Found]:
    """The objects that a command names: KIND NAME..., KIND/NAME..., KIND -l SELECTOR, KIND --all.

    Raises:
        Wrong: a kind or a name does not exist, or no object is named at all.
    """
    words = line.words if words is None else words
    if not words:
        raise Wrong("error: You must specify the type of resource, as in: pods, deployment/web")
    if "/" in words[0]:
        return [objects.get(*_pair(word, line)) for word in words]
    kinds, names = kinds_of(words[0]), words[1:]
    if names:
        if len(kinds) > 1 or any("/" in name for name in names):
            raise Wrong("error: names go with exactly one type of resource")
        return [objects.get(kinds[0], line.namespace, name) for name in names]
    if not (line.is_set("all") or line.flags.get("selector") or line.flags.get("field-selector")):
        raise Wrong("error: resource(s) were provided, but no name was specified")
    return [found for kind in kinds for found in chosen(line, objects, kind)]


def _pair(word: str, line: Line) -> tuple[Kind, str, str]:
    kind, _, name = word.partition("/")
    if not name:
        raise Wrong(f"error: there is no name after the / in {word[:60]}")
    return kind_of(kind), line.namespace, name


def kinds_of(words: str) -> list[Kind]:
    """The kinds of a word as "pods,services" or "all".

    Raises:
        Wrong: one of them does not exist.
    """
    if words == "all":
        return [BY_PLURAL[plural] for plural in ALL]
    return [kind_of(word) for word in words.split(",")[:20]]


def chosen(line: Line, objects: Objects, kind: Kind) -> list[Found]:
    """The objects of a kind that the flags choose: namespace, labels, fields.

    Raises:
        Wrong: a selector cannot be read.
    """
    place = None if line.is_set("all-namespaces") else line.namespace
    found = list(objects.each(kind, place))
    if any(len(line.flags.get(flag, "")) > _LONGEST for flag in ("selector", "field-selector")):
        raise Wrong(f"error: a selector has at most {_LONGEST} characters")
    if selector := line.flags.get("selector", ""):
        found = [one for one in found if _fits(selector, one)]
    if selector := line.flags.get("field-selector", ""):
        found = [one for one in found if _fits_fields(selector, one)]
    return found


_IN = re.compile(r"^\s*([\w./-]+)\s+(in|notin)\s+\(([^()]*)\)\s*$")


def _fits(selector: str, found: Found) -> bool:
    """Whether labels fit: k=v, k==v, k!=v, k, !k, k in (a,b), k notin (a,b), joined by commas."""
    labels = {key: str(value) for key, value in found.thing.get("labels", {}).items()}
    for part in re.split(r",(?![^()]*\))", selector):
        among = _IN.match(part)
        key, sign, value = _compared(part)
        if among:
            is_in = labels.get(among[1]) in [word.strip() for word in among[3].split(",")]
            fits = is_in == (among[2] == "in")
        elif sign:
            fits = (labels.get(key) == value) == (sign != "!=")
        else:
            fits = key.removeprefix("!") in labels
            fits = not fits if key.startswith("!") else fits
        if not fits:
            return False
    return True


_FIELDS = {"status.phase": "status", "spec.nodeName": "node", "metadata.name": "", "metadata.namespace": ""}


def _fits_fields(selector: str, found: Found) -> bool:
    for part in selector.split(","):
        key, sign, value = _compared(part)
        if key not in _FIELDS or not sign:
            raise Wrong(f"Error from server (BadRequest): {part[:60]}: fields are {', '.join(_FIELDS)}")
        if key == "status.phase":
            has = phase(found)
        elif key == "spec.nodeName":
            has = found.thing.get("node", "")
        else:
            has = found.name if key == "metadata.name" else found.namespace
        if (has == value) == (sign == "!="):
            return False
    return True


_PHASES = {
    "CrashLoopBackOff": "Running", "Terminating": "Running", "Evicted": "Failed", "Completed": "Succeeded",
    "OOMKilled": "Failed", "Error": "Failed",
}  # fmt: skip


def phase(found: Found) -> str:
    """The phase of an object: kubectl prints reasons as CrashLoopBackOff or Evicted in its place."""
    status = str(found.thing.get("status", "Running"))
    return _PHASES.get(status, status)


def _compared(part: str) -> tuple[str, str, str]:
    for sign in ("!=", "==", "="):
        key, found, value = part.partition(sign)
        if found:
            return key.strip(), sign, value.strip()
    return part.strip(), "", ""


# -- values ----------------------------------------------------------------------------------------------


def json_of(text: str) -> Json:
    """The JSON of a patch.

    Raises:
        Wrong: it is none, or nested too deeply.
    """
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"error: unable to parse the patch: {str(error)[:80]}") from error
    if _is_deeper(found, _DEEPEST):
        raise Wrong(f"error: the patch is nested more than {_DEEPEST} levels deep")
    return found


def _is_deeper(value: Json, most: int) -> bool:
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return most == 0 or any(_is_deeper(one, most - 1) for one in inner)
    return False


def whole(text: str | None, what: str, most: int) -> int:
    """A whole number from 0 to `most`.

    Raises:
        Wrong: it is none, or too large.
    """
    if text is None or not re.fullmatch(r"[0-9]+", text):
        raise Wrong(f"error: {what} must be a whole number from 0")
    if len(text) > 9 or int(text) > most:
        raise Wrong(f"Error from server (Forbidden): exceeded quota: {what} is limited to {most}")
    return int(text)


def changes_of(line: Line, words: tuple[str, ...] | None = None) -> tuple[tuple[str, ...], list[str]]:
    """The words that name objects, and those that say what changes: KEY=VALUE or KEY-."""
    words = line.words if words is None else words
    changes = [word for word in words if "=" in word or word.endswith("-") or ":" in word]
    return tuple(word for word in words if word not in changes), changes


def without_files(line: Line) -> None:
    if "filename" in line.flags:
        raise Wrong("error: the simulation reads no files: name the objects in the command")
