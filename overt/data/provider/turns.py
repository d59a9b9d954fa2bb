"""The turns of a request as endpoints take them that know no system role, or want the sides in turn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from overt.data.chat import ChatRequest, Message


def folded(turns: Sequence[Message]) -> tuple[Message, ...]:
    """The turns without a system turn; its text stands before the first turn of the user."""
    system = "\n\n".join(turn.content for turn in turns if turn.role == "system")
    others = [turn for turn in turns if turn.role != "system"]
    place = next((n for n, turn in enumerate(others) if turn.role == "user"), None)
    if not system:
        return tuple(others)
    if place is None:
        return (Message("user", system), *others)
    first = others[place]
    others[place] = replace(first, content=f"{system}\n\n{first.content}")
    return tuple(others)


def joined(turns: Sequence[Message]) -> tuple[Message, ...]:
    """The turns with those of the same side in a row made one."""
    found: list[Message] = []
    for turn in turns:
        last = found[-1] if found else None
        if last and last.role == turn.role and not (last.calls or turn.calls or turn.call_id):
            words = f"{last.content}\n\n{turn.content}"
            found[-1] = Message(turn.role, words, last.images + turn.images)
        else:
            found.append(turn)
    return tuple(found)


def has_system(request: ChatRequest) -> bool:
    return any(turn.role == "system" for turn in request.messages)


def repeats_a_side(turns: Sequence[Message]) -> bool:
    sides = [turn.role for turn in turns if turn.role != "system"]
    return any(one == other for one, other in itertools.pairwise(sides))
