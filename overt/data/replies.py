"""Reads what a model said: its answer, its thinking, and the JSON that it was asked for.

Everything that reads a model's words reads them here. No other module knows how a model marks its thinking:
a new form of it is one row of `THINKING_FORMS` (a function for a form that is no pair of tags).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from overt.data.answer_forms import AnswerForm
from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest, Message
from overt.data.json_types import Json
from overt.data.records import Failure

T = TypeVar("T")

MAX_CHARS = 200_000  # no answer that was asked for comes near it; the repairer is slow on hostile megabytes
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)(?:\n\s*```|\Z)", re.DOTALL | re.IGNORECASE)


class Thought(NamedTuple):
    """A part of a text that is thinking, tags included: `text[start:end]`. `words` stand between the tags."""

    start: int
    end: int
    words: str
    is_closed: bool


ThinkingForm = Callable[[str], list[Thought]]  # finds its thoughts in a text, in linear time


def between(opening: str, closing: str) -> ThinkingForm:
    """Thinking between two tags, given as regular expressions; case makes no difference. Without its
    closing tag it reaches to the end of the text."""
    opens, closes = re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE)

    def find(text: str) -> list[Thought]:
        found: list[Thought] = []
        opened = opens.search(text)
        while opened:
            closed = closes.search(text, opened.end())
            if closed is None:
                return [*found, Thought(opened.start(), len(text), text[opened.end() :], False)]
            found.append(Thought(opened.start(), closed.end(), text[opened.end() : closed.start()], True))
            opened = opens.search(text, closed.end())
        return found

    return find


THINKING_FORMS: tuple[ThinkingForm, ...] = (between(r"<think(?:ing)?>", r"</think(?:ing)?>"),)
# Tags around an answer that belong to it: newer Granite Guardians put their verdict between these.
_WRAPPER = re.compile(r"</?score>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReplyParts:
    """What a model said, taken apart.

    `answer` is what is left without the thinking, white space included. `thinking` is what stood between the
    tags, "" for none; of several parts each is a paragraph. `is_closed`: every thought came to its end;
    after one that did not there is no answer. `is_cut_off`: the token limit ended the text (never set
    where only the text is known).
    """

    answer: str
    thinking: str = ""
    is_closed: bool = True
    is_cut_off: bool = False

    @property
    def bare_answer(self) -> str:
        """The answer without the tags that some models put around it."""
        return _WRAPPER.sub(" ", self.answer)

    def json(self, form: AnswerForm[T]) -> T:
        """The JSON object in the answer, as the record that `form` asks for.

        Strict JSON first; then the repairer of `json_repair` for fences, missing commas, single quotes and
        answers cut off at the token limit. Of a list that was cut off the last entry is left out: half a
        sentence reads like a whole one.

        Raises:
            AnswerError: nothing usable, with a reason that can be sent back to the model.
        """
        text = self.answer.strip()
        if not text:
            raise AnswerError("the answer is empty")
        if len(text) > MAX_CHARS:
            raise AnswerError(f"the answer is longer than {MAX_CHARS:,} characters")
        data, is_whole = _load(text)
        # Asked for an object with one list in it, models now and then give the bare list.
        only = form.only_field
        if isinstance(data, list) and only:
            data = {only: data}
        if self.is_cut_off and not is_whole and isinstance(data, dict):
            entries = data.get(only)
            if isinstance(entries, list):
                data = {**data, only: entries[:-1]}
        return form.read(data)


def read_reply(said: ChatReply | str) -> ReplyParts:
    """A reply, or its text alone, as answer and thinking. Linear in the length of any text."""
    text, is_cut_off = (said, False) if isinstance(said, str) else (said.text, said.is_cut_off)
    thoughts = [thought for form in THINKING_FORMS for thought in form(text)]
    if not thoughts:
        return ReplyParts(text, "", True, is_cut_off)
    answer, words, end = [], [], 0
    for thought in sorted(thoughts):
        if thought.start < end:  # another form found it within a thought
            continue
        answer.append(text[end : thought.start])
        words.append(thought.words.strip())
        end = thought.end
    answer.append(text[end:])
    thinking = "\n\n".join(filter(None, words))
    return ReplyParts("".join(answer), thinking, all(t.is_closed for t in thoughts), is_cut_off)


def read_json(reply: ChatReply, form: AnswerForm[T]) -> T:
    """The JSON object in a reply's answer, see `ReplyParts.json`."""
    return read_reply(reply).json(form)


def _load(text: str) -> tuple[Json, bool]:
    """The JSON, and whether it stood there whole; else it was repaired."""
    fenced = _FENCE.search(text)
    candidates = [text] + ([fenced.group(1).strip()] if fenced else [])
    data: Json
    for candidate in candidates:
        try:
            data = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        return data, True
    body = candidates[-1]
    starts = [i for i in (body.find("{"), body.find("[")) if i >= 0]
    if not starts:
        raise AnswerError("the answer holds no JSON")
    try:
        data, end = json.JSONDecoder().raw_decode(body, min(starts))
        if data and not {"{", "["} & set(body[end:]):  # whole, with words around it
            return data, True
    except (ValueError, RecursionError):
        pass
    return _repaired(body[min(starts) :]), False


def _repaired(body: str) -> Json:
    from json_repair import repair_json

    try:
        data: object = repair_json(body, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError) as error:
        raise AnswerError(f"the answer is not valid JSON ({type(error).__name__})") from error
    if not isinstance(data, (dict, list)) or not data:
        raise AnswerError("the answer is not valid JSON")
    # Of several objects in one answer the repairer makes a list: the last one is what was settled on.
    return data[-1] if isinstance(data, list) and body[0] == "{" else data


# -- asking again, and what became of a question ---------------------------------------------------------


def asked_again(request: ChatRequest, said: str, why: str, attempt: int = 1) -> ChatRequest:
    """The request again, with the answer that could not be read and the reason. Each attempt is worded as
    one of its own: the same bad answer twice must not find the first repair in the journal."""
    turns = list(request.messages)
    if said.strip():
        # Not more of it than helps: an endless answer would fill the context.
        turns.append(Message("assistant", said[:4000]))
    which = "That answer" if attempt == 1 else f"That answer (number {attempt})"
    turns.append(Message("user", f"{which} could not be read: {why}. Answer again, in the form asked for."))
    return dataclasses.replace(request, messages=tuple(turns))


def has_abstained(answer: Answer[T]) -> bool:
    """Whether the model was reached and gave no usable answer: unreadable, empty, or it declined. Of a
    judge that is an abstention; any other failure is an error, and no word of the judge's."""
    return answer.failure_kind in {"malformed", "empty", "refused"}


def why_no_value(answer: Answer[T]) -> str:
    """The kind and the reason of a failure, in one line."""
    return f"{answer.failure_kind or 'error'}: {answer.failure or ''}"


def failure_of(answer: Answer[T], record_id: str, stage: str, category: str) -> Failure:
    """An answer without a value as the record that a stage keeps of it."""
    return Failure(record_id, stage, category, answer.failure_kind or "malformed", answer.failure or "")
