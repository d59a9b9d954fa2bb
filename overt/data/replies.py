"""Parses the replies of models: the answer, the thinking, and JSON.

How models mark their thinking is in thinking.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from overt.data.answer_then_check import Checked, read_checked, split_at_check
from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest, Message, Question
from overt.data.json_types import Json
from overt.data.records import Failure
from overt.data.thinking import thoughts_in, without_marks

# -- the form of an answer in JSON ---------------------------------------------------------------------------


T = TypeVar("T")

# An integer in the schema, read as text, since models also write "2.".
Number = Annotated[str, "integer"]


class AnswerForm(Generic[T]):
    """The form of one answer.

    The fields of `record` are texts, `Literal` words, `Number`s, and tuples (lists in JSON) of these or of
    another such record. The schema requires every field, but a field with a default may be missing: a missing
    reason or style is not worth another call. Unknown fields are dropped. Words are compared without case,
    quotes and full stops.

    Args:
        record: a frozen dataclass.
        words: text field -> its allowed words, if they are known only at run time.
    """

    def __init__(self, record: type[T], **words: Sequence[str]) -> None:
        self._record, self._words = record, words
        self.schema: dict[str, Json] = _object_schema(record, words)
        names = [name for name, _, _ in _fields(record)]
        self.only_field = names[0] if len(names) == 1 else ""

    def read(self, data: Json) -> T:
        """Reads a record from decoded JSON.

        Raises:
            AnswerError: the data does not fit; the reason can be sent to the model.
        """
        return _record(data, self._record, "the answer", self._words)


_Fields = tuple[tuple[str, object, bool], ...]
_FIELDS: dict[type, _Fields] = {}  # a cache, since type hints are slow to resolve


def _fields(record: type) -> _Fields:
    """The name and the type of each field, and whether it is required."""
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
    values: dict[str, object] = {}
    for key, kind, is_needed in _fields(record):
        if data.get(key) is None:
            if is_needed:
                raise AnswerError(f"{name} lacks {key!r}")
        elif key in words:
            values[key] = _word(data[key], words[key], f"{key!r}")
        else:
            values[key] = _value(data[key], kind, f"{key!r}")
    return record(**values)


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
    # json_repair reads the two escapes of an emoji as two surrogates, which are joined here.
    return str(data).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _word(data: Json, allowed: Sequence[str], name: str) -> str:
    said = _text(data, name).strip().strip("\"'.").casefold()
    for word in allowed:
        if said == word.casefold():
            return word
    raise AnswerError(f"{name} must be one of: {', '.join(allowed)}")


# -- parsing -------------------------------------------------------------------------------------------------


MAX_CHARS = 200_000  # far above any valid answer; json_repair is slow on megabytes
_MOST_FAILURES = 300  # brackets that open no JSON, before the search stops
_MOST_UNCLOSED = 100  # json_repair takes quadratic time for them
_DECODER = json.JSONDecoder()
_OPENS = re.compile(r"[{\[]")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)(?:\n\s*```|\Z)", re.DOTALL | re.IGNORECASE)


# Tags around the verdict of newer Granite Guardians, which are part of the answer.
_WRAPPER = re.compile(r"</?score>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReplyParts:
    """The parts of a reply.

    `answer` is the text without the thinking, white space included. `thinking` is the text between the tags,
    one paragraph per part. `is_closed` is whether every thinking part has its closing tag; without it there
    is no answer. `is_cut_off` is whether the token limit ended the text (False if only the text is known).
    """

    answer: str
    thinking: str = ""
    is_closed: bool = True
    is_cut_off: bool = False

    @property
    def bare_answer(self) -> str:
        """The answer without the tags of some models around it."""
        return _WRAPPER.sub(" ", self.answer)

    def json(self, form: AnswerForm[T]) -> T:
        """Parses the JSON object in the answer as a record of `form`: the last complete one that fits.

        Tries strict JSON first, then `json_repair` for missing commas, single quotes and answers cut off at
        the token limit. The last entry of a cut off list is dropped, since half a sentence can look whole.

        Raises:
            AnswerError: nothing is usable; the reason can be sent to the model.
        """
        text = self.answer.strip()
        if not text:
            raise AnswerError("the answer is empty")
        if len(text) > MAX_CHARS:
            raise AnswerError(f"the answer is longer than {MAX_CHARS:,} characters")
        wrong: AnswerError | None = None
        for data, is_whole in _candidates(text, is_cut_off=self.is_cut_off):
            try:
                return form.read(self._prepared(data, form.only_field, is_whole=is_whole))
            except AnswerError as error:
                wrong = wrong or error
        raise wrong or AnswerError("the answer holds no JSON")

    def _prepared(self, data: Json, only: str, *, is_whole: bool) -> Json:
        # Some models return the bare list instead of an object with one list.
        if isinstance(data, list) and only:
            data = {only: data}
        if self.is_cut_off and not is_whole and isinstance(data, dict):
            entries = data.get(only)
            if isinstance(entries, list):
                data = {**data, only: entries[:-1]}
        return data


def read_reply(said: ChatReply | str) -> ReplyParts:
    """Splits a reply or its text into answer and thinking, in linear time."""
    text, is_cut_off = (said, False) if isinstance(said, str) else (said.text, said.is_cut_off)
    before, final = split_at_check(text)
    if before and isinstance(read_checked(text), Checked):
        # A whole answer in this form says itself where its thought ends, even within a code block.
        parts = read_reply(final)
        thinking = "\n\n".join(filter(None, (before, parts.thinking)))
        return ReplyParts(without_marks(parts.answer), thinking, parts.is_closed, is_cut_off)
    thoughts = thoughts_in(text)
    if not thoughts:
        return ReplyParts(text, "", True, is_cut_off)
    answer, end = [], 0
    for thought in thoughts:
        answer.append(text[end : thought.start])
        end = thought.end
    answer.append(text[end:])
    thinking = "\n\n".join(filter(None, (thought.words.strip() for thought in thoughts)))
    is_closed = all(thought.is_closed for thought in thoughts)
    return ReplyParts(without_marks("".join(answer)), thinking, is_closed, is_cut_off)


def read_json(reply: ChatReply, form: AnswerForm[T]) -> T:
    """Parses the JSON object in a reply's answer, see `ReplyParts.json`."""
    return read_reply(reply).json(form)


def _candidates(text: str, *, is_cut_off: bool) -> Iterator[tuple[Json, bool]]:
    """The JSON values in a text, the likeliest first, and whether each was complete or had to be repaired.

    The last complete value comes first, since a draft or an example comes before the answer. A text that
    was cut off ends with its answer, which is not complete.
    """
    try:
        yield json.loads(text), True
        return
    except (ValueError, RecursionError):
        pass
    values, end, is_damaged = _complete_values(text)
    tail = _OPENS.search(text, end)
    if is_cut_off and values and tail:
        with contextlib.suppress(AnswerError):
            yield _repaired(text[tail.start() :]), False
    for kind in (dict, list):  # an object is an answer rather than a list, which may be a footnote: "[1]"
        yield from ((value, True) for value in reversed(values) if isinstance(value, kind))
    if is_damaged or not values:
        yield _repaired(_to_repair(text)), False


def _complete_values(text: str) -> tuple[list[Json], int, bool]:
    """The objects and lists of a text that are valid JSON (outermost only), where the last one ends, and
    whether a bracket opens none."""
    values: list[Json] = []
    opened, end, failures = _OPENS.search(text), 0, 0
    while opened and failures < _MOST_FAILURES:
        try:
            value, end = _DECODER.raw_decode(text, opened.start())
        except (ValueError, RecursionError):
            failures += 1
            opened = _OPENS.search(text, opened.end())
            continue
        values.append(value)
        opened = _OPENS.search(text, end)
    return values, end, failures > 0


def _to_repair(text: str) -> str:
    """The part of a text without complete JSON that is worth a repair: the last block of code with a bracket,
    else everything from the first bracket on.

    Raises:
        AnswerError: the text holds no bracket.
    """
    blocks = [block for block in _FENCE.findall(text) if _OPENS.search(block)]
    body = blocks[-1].strip() if blocks else text
    opened = _OPENS.search(body)
    if opened is None:
        raise AnswerError("the answer holds no JSON")
    return body[opened.start() :]


def _repaired(body: str) -> Json:
    from json_repair import repair_json

    unclosed = sum(map(body.count, "{[")) - sum(map(body.count, "}]"))
    if unclosed > _MOST_UNCLOSED:
        raise AnswerError("the answer is not valid JSON (too many brackets)")
    try:
        data: object = repair_json(body, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError) as error:
        raise AnswerError(f"the answer is not valid JSON ({type(error).__name__})") from error
    if not isinstance(data, (dict, list)) or not data:
        raise AnswerError("the answer is not valid JSON")
    # json_repair makes a list of several objects in one answer; the last one is the final answer.
    return data[-1] if isinstance(data, list) and body[0] == "{" else data


# -- asking again, and failures ------------------------------------------------------------------------------

REPAIRS = 2  # extra tries after a reply that cannot be parsed


def asked_again(request: ChatRequest, said: str, why: str, attempt: int = 1) -> ChatRequest:
    """The request with the unreadable answer and the reason. The wording differs for each attempt, so that a
    second identical answer does not find the first repair in the journal."""
    turns = list(request.messages)
    if said.strip():
        # An endless answer would fill the context.
        turns.append(Message("assistant", said[:4000]))
    which = "That answer" if attempt == 1 else f"That answer (number {attempt})"
    turns.append(Message("user", f"{which} could not be read: {why}. Answer again, in the form asked for."))
    return dataclasses.replace(request, messages=tuple(turns))


async def answered(
    question: Question[T],
    ask: Callable[[ChatRequest], Awaitable[ChatReply]],
    refused: Callable[[ChatReply], str | None],
) -> Answer[T]:
    """The answer to a question; one that cannot be parsed is asked for again, with the reason.

    Args:
        refused: the words of a reply with which the model declined to answer; None: it did not.
    """
    request, kind, why = question.request, "", ""
    for attempt in range(1, REPAIRS + 2):
        reply = await ask(request)
        if reply.error is not None:
            return Answer(question.about, reply, None, reply.error.kind, reply.error.message)
        try:
            return Answer(question.about, reply, question.parse(reply))
        except AnswerError as error:
            why = str(error)
        if (said := refused(reply)) is not None:
            return Answer(question.about, reply, None, "refused", said)
        kind = "malformed" if reply.text.strip() else "empty"
        request = asked_again(question.request, reply.text, why, attempt)
    return Answer(question.about, reply, None, kind, why)


def has_abstained(answer: Answer[T]) -> bool:
    """Whether the model replied without a usable answer (unreadable, empty, refused, stopped by the floor,
    not in the form that was asked for). For a judge this is an abstention; any other failure is an error."""
    return answer.failure_kind in {"malformed", "empty", "refused", "floor", "format"}


def why_no_value(answer: Answer[T]) -> str:
    """The kind and the reason of a failure, in one line."""
    return f"{answer.failure_kind or 'error'}: {answer.failure or ''}"


def failure_of(answer: Answer[T], record_id: str, stage: str, category: str) -> Failure:
    """The failure record of an answer without a value."""
    return Failure(record_id, stage, category, answer.failure_kind or "malformed", answer.failure or "")
