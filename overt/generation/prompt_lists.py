"""What all stages need that ask a model for a list of prompts: its form, room for it, and how it is read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest
from overt.data.replies import AnswerForm, read_json

TOKENS_EACH = 128  # for an entry of the list: up to three sentences, its trigger and its style


@dataclass(frozen=True, slots=True)
class Written:
    """One prompt as its writer gave it: the text, the trigger and the style that it claims."""

    text: str
    trigger: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class WrittenPrompts:
    """New prompts."""

    prompts: tuple[Written, ...]


@dataclass(frozen=True, slots=True)
class Wordings:
    """Other wordings of one prompt."""

    prompts: tuple[str, ...]


WRITTEN, WORDINGS = AnswerForm(WrittenPrompts), AnswerForm(Wordings)


def read_written(reply: ChatReply) -> list[Written]:
    """The prompts in an answer, with single blanks for white space.

    Raises:
        AnswerError: no such list, or no entry with a text.
    """
    entries = read_json(reply, WRITTEN).prompts
    found = [Written(_line(e.text), _line(e.trigger), _line(e.style)) for e in entries]
    found = [entry for entry in found if entry.text]
    if not found:
        raise AnswerError("the list 'prompts' holds 0 prompts, at least 1 are needed")
    return found


def read_wordings(reply: ChatReply) -> list[str]:
    """The wordings in an answer, with single blanks for white space. An empty list is an answer: the model
    found no wording that it would write.

    Raises:
        AnswerError: no such list.
    """
    return [text for text in map(_line, read_json(reply, WORDINGS).prompts) if text]


def _line(text: str) -> str:
    return " ".join(text.split())


def with_room(request: ChatRequest, count: int) -> ChatRequest:
    """The request with room for `count` prompts in its answer, where its template leaves less."""
    return dataclasses.replace(request, max_tokens=max(request.max_tokens, count * TOKENS_EACH))


def cut_short(answer: Answer[list[Written]] | Answer[list[str]], count: int) -> str:
    """Why there are fewer than `count` prompts in an answer that was cut off; "" where none are missing."""
    found = len(answer.value or ())
    if not answer.reply.is_cut_off or found >= count:
        return ""
    return f"cut off at the token limit: {found} of {count} prompts came whole"
