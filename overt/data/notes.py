"""Notes of what is loaded, for the start of a run: which preset was taken, what could not be told.

A model, filter, checker or scorer may have `notes`, texts for the user. The registry tells them when it has
made it, and the command at work shows and keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("notes", default=None)


@contextmanager
def listening(hear: Callable[[str], None]) -> Iterator[None]:
    """Passes every note that is told inside to `hear`."""
    token = _listener.set(hear)
    try:
        yield
    finally:
        _listener.reset(token)


def tell_notes(name: str, made: object) -> None:
    """Tells the notes of an object that was made by name, if it has any and somebody listens."""
    hear = _listener.get()
    notes = getattr(made, "notes", None)
    if hear is None or not isinstance(notes, (tuple, list)):
        return
    for note in notes:
        if isinstance(note, str):
            hear(f"{name}: {note}")
