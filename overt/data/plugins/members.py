"""What an object must have to play a role: its functions, and how each is called."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Literal

from overt.data.errors import InputError

# "either": a plain function runs in a thread of its own.
Call = Literal["plain", "coroutine", "either"]


def lacking(members: Mapping[str, Call], thing: object) -> list[str]:
    """The functions that an object lacks."""
    return [member for member in members if not callable(getattr(thing, member, None))]


def check_members(text: str, role: str, members: Mapping[str, Call], thing: object) -> None:
    """Checks an object, or a class before it is made.

    Args:
        text: its name, as the user wrote it.
        role: the role's name in messages.

    Raises:
        InputError: it lacks a function, or one is no coroutine where it must be, or the reverse.
    """
    if missing := lacking(members, thing):
        every = ", ".join(["name", *(f"{member}()" for member in members)])
        raise InputError(
            f"{text} is no {role}: it lacks {', '.join(f'{member}()' for member in missing)}",
            fix=f"A {role} has: {every} (see CONTRIBUTING.md).",
        )
    for member, call in members.items():
        function = inspect.unwrap(getattr(thing, member))
        if call == "either" or not (inspect.isfunction(function) or inspect.ismethod(function)):
            continue  # other callables do not say whether they return a coroutine
        if inspect.iscoroutinefunction(function) != (call == "coroutine"):
            word, form = ("is not", "async def") if call == "coroutine" else ("is", "def")
            raise InputError(f"{text}: {member}() {word} a coroutine", fix=f"Write it as  {form} {member}.")
