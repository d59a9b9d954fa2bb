"""Lists of prompts from a model: their form, their token budget, and how they are read."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest
from overt.data.replies import AnswerForm, read_json

TOKENS_EACH = 128  # per entry: up to three sentences, a trigger and a style


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
    """Returns the prompts in a reply, with normalised white space.

    Raises:
        AnswerError: the reply holds no such list, or no entry with a text.
    """
    entries = read_json(reply, WRITTEN).prompts
    found = [Written(_prompt_line(e.text), _line(e.trigger), _line(e.style)) for e in entries]
    found = [entry for entry in found if entry.text]
    if not found:
        raise AnswerError("the list 'prompts' holds 0 prompts, at least 1 are needed")
    return found


def read_wordings(reply: ChatReply) -> list[str]:
    """Returns the wordings in a reply, with normalised white space. The list may be empty if the model
    declines.

    Raises:
        AnswerError: the reply holds no such list.
    """
    return [text for text in map(_prompt_line, read_json(reply, WORDINGS).prompts) if text]


# "1. ", "2) ", "Prompt 3: " before a prompt, and quotes around it, are not part of it.
_NUMBER = re.compile(
    r"(?:(?:(?:prompt|version|example)\s*)#?\d{1,3}\s*[.):\-–]|#?\d{1,2}[.)])\s+(?=\S)", re.IGNORECASE
)
_QUOTED = re.compile(r'"([^"]+)"|“([^“”]+)”')


def _line(text: str) -> str:
    return " ".join(text.split())


def _prompt_line(text: str) -> str:
    """A prompt as one line, without a number before it and quotes around it."""
    line = _NUMBER.sub("", _line(text), count=1) if _NUMBER.match(_line(text)) else _line(text)
    quoted = _QUOTED.fullmatch(line)
    return (quoted[1] or quoted[2]).strip() if quoted else line


def with_room(request: ChatRequest, count: int) -> ChatRequest:
    """Raises the request's `max_tokens` to fit `count` prompts, if it is lower."""
    return dataclasses.replace(request, max_tokens=max(request.max_tokens, count * TOKENS_EACH))


def cut_short(answer: Answer[list[Written]] | Answer[list[str]], count: int) -> str:
    """Returns why a reply that was cut off holds fewer than `count` prompts, or ""."""
    found = len(answer.value or ())
    if not answer.reply.is_cut_off or found >= count:
        return ""
    return f"cut off at the token limit: {found} of {count} prompts came whole"
