"""What a command of the shell gets and gives, and how its options are read."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field


class Fails(Exception):
    """A command fails; the text is what it says, without its own name."""


@dataclass(slots=True)
class Running:
    """A command at work. `again` runs another command line, for `sh -c` and `xargs`: text -> (output, errors,
    status)."""

    name: str
    words: list[str]
    stdin: str | None
    again: Callable[[list[str], str | None], tuple[str, str, int]]
    script: Callable[[str], tuple[str, str, int]]
    errors: list[str] = field(default_factory=list)
    status: int = 0

    def complains(self, what: str, status: int = 1) -> None:
        """Says on the side what failed; the command goes on."""
        self.errors.append(f"{self.name}: {what}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a command: flags as they were named, values by name, and what is left."""

    flags: frozenset[str]
    values: dict[str, str]
    rest: list[str]

    def has(self, *names: str) -> bool:
        return any(name in self.flags for name in names)

    def get(self, *names: str, default: str = "") -> str:
        return next((self.values[name] for name in names if name in self.values), default)


def options(words: Collection[str], flags: str = "", values: str = "") -> Options:
    """Reads options.

    Args:
        flags, values: names that stand alone, and names that take a value: "r f recursive". Names of one
            letter may stand together and have their value at once (`-n5`).

    Raises:
        Fails: there is no such option, or its value is missing.
    """
    alone, taking = set(flags.split()), set(values.split())
    found: set[str] = set()
    given: dict[str, str] = {}
    rest: list[str] = []
    todo = list(words)
    while todo:
        word = todo.pop(0)
        if word == "--":
            rest += todo
            break
        if word.startswith("--") and len(word) > 2:
            name, mark, value = word[2:].partition("=")
            if name in taking:
                given[name] = value if mark else _next(todo, word)
            elif name in alone and not mark:
                found.add(name)
            else:
                raise Fails(f"unrecognized option '{word[:60]}'")
        elif word.startswith("-") and len(word) > 1 and (word[1:] in alone or word[1:] in taking):
            _single(word[1:], alone, found, given, todo)
        elif word.startswith("-") and len(word) > 1:
            _letters(word[1:], alone, taking, found, given, todo)
        else:
            rest.append(word)
    return Options(frozenset(found), given, rest)


def _single(name: str, alone: set[str], found: set[str], given: dict[str, str], todo: list[str]) -> None:
    if name in alone:
        found.add(name)
    else:
        given[name] = _next(todo, f"-{name}")


def _letters(
    letters: str, alone: set[str], taking: set[str], found: set[str], given: dict[str, str], todo: list[str]
) -> None:
    for number, letter in enumerate(letters, 1):
        if letter in alone:
            found.add(letter)
        elif letter in taking:
            given[letter] = letters[number:] or _next(todo, f"-{letter}")
            return
        else:
            raise Fails(f"invalid option -- '{letter}'")


def _next(todo: list[str], name: str) -> str:
    if not todo:
        raise Fails(f"option '{name}' requires an argument")
    return todo.pop(0)


def whole(text: str, what: str = "number", most: int = 10**9) -> int:
    """A whole number of at most nine digits.

    Raises:
        Fails: it is none.
    """
    if not text.isdecimal() or not text.isascii() or len(text) > 10 or int(text) > most:
        raise Fails(f"invalid {what}: '{text[:60]}'")
    return int(text)
