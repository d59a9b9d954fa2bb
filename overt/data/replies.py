"""Reads what a model said: its answer, its thinking, and the JSON that it was asked for.

Everything that reads a model's words reads them here. No other module knows how a model marks its thinking:
a new form of it is one row of `THINKING_FORMS` (a function for a form that is no pair of tags).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest, Message
from overt.data.json_types import Json
from overt.data.records import Failure

# -- what an answer in JSON looks like -----------------------------------------------------------------------


T = TypeVar("T")

# Asked for as a whole number, read as the text that stands there: models write "2." as well as 2.
Number = Annotated[str, "integer"]


class AnswerForm(Generic[T]):
    """The form of one answer.

    The fields of `record` are texts, `Literal` words, `Number`s, and tuples (lists in JSON) of these or of
    another such record. The schema asks for every field; a field with a default may be missing all the
    same, since a missing reason or style is no ground for another call. Fields that the record does not
    have are dropped. Words are told without regard to case, quotes and full stops.

    Args:
        record: a frozen dataclass.
        words: text field -> the words that it may be, where they are known only at run time.
    """

    def __init__(self, record: type[T], **words: Sequence[str]) -> None:
        self._record, self._words = record, words
        self.schema: dict[str, Json] = _object_schema(record, words)
        names = [name for name, _, _ in _fields(record)]
        self.only_field = names[0] if len(names) == 1 else ""

    def read(self, data: Json) -> T:
        """The record that decoded JSON holds.

        Raises:
            AnswerError: it does not fit, with a reason that can be sent back to the model.
        """
        return _record(data, self._record, "the answer", self._words)


_Fields = tuple[tuple[str, object, bool], ...]
_FIELDS: dict[type, _Fields] = {}  # looked up once for each record: type hints are slow to resolve


def _fields(record: type) -> _Fields:
    """Name, type and whether it must be there, of each field."""
    if record not in _FIELDS:
        hints = get_type_hints(record, include_extras=True)
        _FIELDS[record] = tuple(
            (field.name, hints[field.name], field.default is dataclasses.MISSING)
            for field in dataclasses.fields(record)
        )
    return _FIELDS[record]


def _object_schema(record: type, words: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    properties = {
        name: _words_schema(words[name]) if name in words else _schema(kind)
        for name, kind, _ in _fields(record)
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(kind: object) -> dict[str, Json]:
    if kind is str or kind == Number:
        return {"type": "string" if kind is str else "integer"}
    if get_origin(kind) is Literal:
        return _words_schema(get_args(kind))
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if isinstance(kind, type):
        return _object_schema(kind, {})
    raise TypeError(f"an answer cannot hold {kind!r}")


def _words_schema(words: Sequence[str]) -> dict[str, Json]:
    return {"type": "string", "enum": list(words)}


def _record(data: Json, record: type[T], name: str, words: Mapping[str, Sequence[str]]) -> T:
    if not isinstance(data, dict):
        raise AnswerError(f"{name} must be a JSON object")
    found: dict[str, object] = {}
    for key, kind, is_needed in _fields(record):
        if data.get(key) is None:
            if is_needed:
                raise AnswerError(f"{name} lacks {key!r}")
        elif key in words:
            found[key] = _word(data[key], words[key], f"{key!r}")
        else:
            found[key] = _value(data[key], kind, f"{key!r}")
    return record(**found)


def _value(data: Json, kind: object, name: str) -> object:
    if get_origin(kind) is Literal:
        return _word(data, get_args(kind), name)
    if get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise AnswerError(f"{name} must be a list")
        return tuple(_value(item, get_args(kind)[0], f"an entry of {name}") for item in data)
    if kind is str:
        return _text(data, name)
    if kind == Number:
        return str(data).strip().rstrip(".")
    assert isinstance(kind, type)
    return _record(data, kind, name, {})


def _text(data: Json, name: str) -> str:
    if isinstance(data, (dict, list)):
        raise AnswerError(f"{name} must be a text")
    # The repairer reads the two escapes of an emoji one by one; the surrogate pair is made whole here.
    return str(data).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _word(data: Json, allowed: Sequence[str], name: str) -> str:
    said = _text(data, name).strip().strip("\"'.").casefold()
    for word in allowed:
        if said == word.casefold():
            return word
    raise AnswerError(f"{name} must be one of: {', '.join(allowed)}")


# -- reading -------------------------------------------------------------------------------------------------


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
