"""What chat endpoints do not accept, told by their own words, and how the request is changed then.

"OpenAI-compatible" servers differ: some have no system role, no JSON schema, no seed. The first reply that
says so costs one failed request; the `Dialect` that was learnt from it holds for every later request.

A new complaint is a pattern in `_COMPLAINTS`, or a row of its own with the change that it calls for.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from overt.data.chat import ChatReply, ChatRequest, Message
from overt.data.json_types import Json, JsonObject
from overt.data.provider.turns import folded, has_system, joined, repeats_a_side
from overt.data.tool_words import in_words
from overt.data.tools import IN_WORDS, tool_json

# What is told of each change, after the model's name. The keys stand in the journal.
CHANGES: Final = {
    "system_folded": "takes no system turn: the system text was sent at the head of the user's turn",
    "turns_joined": "wants user and assistant in turn: turns of the same side in a row were sent as one",
    "json_object": "takes no JSON schema: it was asked for any JSON object, and the answer was checked",
    "no_schema": "takes no JSON format: the form was asked for in words alone, and the answer was checked",
    "max_completion_tokens": "takes no max_tokens: it was sent as max_completion_tokens",
    "fewer_tokens": "takes no max_tokens that high: the highest that it names was sent",
    "without_temperature": "takes no temperature: its own default was used",
    "warmer": "takes no temperature of 0: 0.01 was sent",
    "cooler": "takes no temperature above 1: 1 was sent",
    IN_WORDS: "takes no tools: they were described in words, and actions were read from its answers",
    "without_seed": "takes no seed: none was sent, so answers may differ from run to run",
}
_COLDEST, _WARMEST = 0.01, 1.0
_OPTIONAL = ("temperature", "seed")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests to one endpoint are written. The default is OpenAI's protocol as documented."""

    folds_system: bool = False
    joins_turns: bool = False
    takes_tools: bool = True
    schema: str = "json_schema"  # or "json_object", or "" for none
    tokens: str = "max_tokens"
    most_tokens: int | None = None
    coldest: float = 0.0
    warmest: float = 2.0
    without: frozenset[str] = frozenset()

    def turns(self, request: ChatRequest) -> tuple[Message, ...]:
        """The turns as this endpoint takes them."""
        turns = request.messages if self.takes_tools else in_words(request).messages
        if self.folds_system:
            turns = folded(turns)
        return joined(turns) if self.joins_turns else turns

    def fields(self, request: ChatRequest) -> dict[str, Json]:
        """The fields of the request's body besides model and messages."""
        fields: dict[str, Json] = {
            "temperature": self.temperature(request),
            self.tokens: self.max_tokens(request),
        }
        if request.seed is not None:
            fields["seed"] = request.seed
        if request.tools and self.takes_tools:
            fields["tools"] = [tool_json(tool) for tool in request.tools]
        if request.schema is not None and self.schema == "json_schema":
            schema: JsonObject = {"name": "answer", "strict": True, "schema": request.schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and self.schema:
            fields["response_format"] = {"type": self.schema}
        return {name: value for name, value in fields.items() if name not in self.without}

    def temperature(self, request: ChatRequest) -> float:
        return min(max(request.temperature, self.coldest), self.warmest)

    def max_tokens(self, request: ChatRequest) -> int:
        return min(request.max_tokens, self.most_tokens or request.max_tokens)

    def changes(self, request: ChatRequest) -> tuple[str, ...]:
        """What of this request is sent otherwise than it was asked for, as keys of `CHANGES`."""
        if self == OPENAI:
            return ()
        found = {
            "system_folded": self.folds_system and has_system(request),
            "turns_joined": self.joins_turns and repeats_a_side(request.messages),
            "json_object": request.schema is not None and self.schema == "json_object",
            "no_schema": request.schema is not None and not self.schema,
            "max_completion_tokens": self.tokens != "max_tokens",
            "fewer_tokens": self.max_tokens(request) != request.max_tokens,
            "without_temperature": "temperature" in self.without,
            "warmer": self.temperature(request) > request.temperature,
            "cooler": self.temperature(request) < request.temperature,
            IN_WORDS: bool(request.tools) and not self.takes_tools,
            "without_seed": "seed" in self.without and request.seed is not None,
        }
        return tuple(name for name, holds in found.items() if holds)

    def after(self, complaint: str, request: ChatRequest) -> Dialect | None:
        """The dialect that this complaint calls for, or None if nothing can be changed.

        Args:
            complaint: the message and the body of a response that rejected the request.
        """
        for pattern, change in _COMPLAINTS:
            found = pattern.search(complaint)
            changed = change(self, request, found) if found else None
            if changed is not None and changed != self:
                return changed
        return None


OPENAI: Final = Dialect()


@dataclass(frozen=True, slots=True)
class Beside:
    """What a body holds beside its request: further fields, and further fields of the last turn."""

    fields: Mapping[str, Json] = field(default_factory=dict)
    turn: Mapping[str, Json] = field(default_factory=dict)


NOTHING_BESIDE: Final = Beside()
# In which ways endpoints are asked to go on from a last turn of the assistant, in the order in which they are
# tried. OpenAI itself knows none: it begins a new answer behind that turn.
CONTINUATIONS: Final = (
    NOTHING_BESIDE,  # llama.cpp's server; OpenRouter and others in front of Anthropic's models
    Beside({"continue_final_message": True, "add_generation_prompt": False}),  # vLLM, SGLang
    Beside(turn={"prefix": True}),  # Mistral, DeepSeek
)
MOST_LOGPROBS: Final = 20  # that OpenAI lists for a token; so does vLLM, unless it is told otherwise


def logprobs_wanted(most: int) -> Beside:
    """Asks for the `most` most probable tokens of each place."""
    return Beside({"logprobs": True, "top_logprobs": most})


def fewer_logprobs(complaint: str, asked: int) -> int | None:
    """The most tokens that an endpoint lists by its own words, None if they tell no lower number."""
    found = _FEWER_LOGPROBS.search(complaint)
    most = int(next(filter(None, found.groups()))) if found else 0
    return most if 0 < most < asked else None


_MOST_TRIES = 9  # one request may meet several fields that the endpoint does not take


class Learnt:
    """What one endpoint was found not to take. Safe for several threads and for many requests at once."""

    def __init__(self) -> None:
        self.dialect = OPENAI
        self.useless: set[Dialect] = set()  # changes that did not help
        self.lock = threading.Lock()

    def drops_tools(self) -> None:
        """The endpoint takes tools, and its model never sees them."""
        with self.lock:
            self.dialect = replace(self.dialect, takes_tools=False)

    def trial(self, request: ChatRequest) -> Trial:
        """The attempts at one request."""
        return Trial(self, request)


class Trial:
    """The attempts at one request: in the dialect that was learnt so far, and again in another where the
    endpoint says what it does not take. A change that does not help is taken back."""

    def __init__(self, learnt: Learnt, request: ChatRequest) -> None:
        self._learnt, self._request = learnt, request
        self.dialect = self._start = learnt.dialect
        self._said, self._tries = "", 0

    def goes_on(self, reply: ChatReply) -> bool:
        """Whether the request is sent again after this reply, in the `dialect` that is set then."""
        complaint, learnt = complaint_of(reply), self._learnt
        self._tries += 1
        if not complaint or self._tries >= _MOST_TRIES:
            return False
        with learnt.lock:
            if learnt.dialect != self.dialect:  # learnt meanwhile, from the reply to another request
                self.dialect = learnt.dialect
                return True
            if complaint != self._said:  # so what was changed before did help
                self._start, self._said = self.dialect, complaint
            changed = self.dialect.after(complaint, self._request)
            if changed is None or changed in learnt.useless:
                if self.dialect != self._start:
                    learnt.dialect = self._start
                    learnt.useless.add(self.dialect)
                return False
            self.dialect = learnt.dialect = changed
            return True


def complaint_of(reply: ChatReply) -> str:
    """The words in which an endpoint rejected a request, or "" if the reply is none that another wording of
    the request could mend. Some servers answer an exception of their chat template with a 500."""
    error = reply.error
    if error is None or error.kind not in ("bad_request", "server", "too_long"):
        return ""
    if error.status is None or error.status < 400:
        return ""
    # The service's own words: overt's message for a body without JSON speaks of JSON itself.
    words = reply.raw.body if reply.raw else error.message.partition("the body is no JSON object")[0]
    if _NO_TOOLS.search(words):  # also with a 404, as OpenRouter says it
        return words
    if error.status == 404:
        return ""
    # Most 5xx pass by themselves, so they must say plainly that something is not taken.
    return words if error.status < 500 or _PLAIN_NO.search(words) else ""


def failed_call(data: Json) -> str:
    """What a model wrote where the service could read no call in it and threw the answer away, or "".

    Groq answers so with a 400 (`tool_use_failed`), with the answer or only with what was wrong with it.
    """
    error = data.get("error") if isinstance(data, dict) else None
    if not isinstance(error, dict) or error.get("code") != "tool_use_failed":
        return ""
    said = error.get("failed_generation")
    return (
        said if isinstance(said, str) and said.strip() else str(error.get("message") or "no call of a tool")
    )


def unusable_json(data: Json) -> str:
    """What a model wrote where the endpoint asked it for JSON and threw the answer away, or "".

    Groq answers so with a 400 (`json_validate_failed`): it is the model's answer, not a bad request.
    """
    error = data.get("error") if isinstance(data, dict) else None
    said = error.get("failed_generation") if isinstance(error, dict) else None
    return said if isinstance(said, str) and said.strip() else ""


# -- complaints ----------------------------------------------------------------------------------------------

Change = Callable[[Dialect, ChatRequest, re.Match[str]], Dialect | None]
_NOT = (
    r"(?:not\s+(?:be\s+)?(?:supported|allowed|permitted|enabled|accepted|available|valid)|unsupported|"
    r"(?:do(?:es)?|is|are|can)(?:\s*not|n['’]t)\s+(?:support|allow|accept|take|permit)|isn['’]t\s+supported|"
    r"no\s+support|un(?:known|recogni[sz]ed|expected)|invalid|extra|forbidden|cannot\s+find|only|deprecated)"
)


_PLAIN_NO = re.compile(rf"{_NOT}|must\s+alternate|failed\s+to\s+(?:parse|initialize|generate)", re.IGNORECASE)


def _fold(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
    return replace(dialect, folds_system=True) if has_system(request) else None


def _alternate(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
    """Turns out of order: first those of one side in a row are joined, then the system turn goes."""
    if repeats_a_side(request.messages) and not dialect.joins_turns:
        return replace(dialect, joins_turns=True)
    return replace(dialect, folds_system=True, joins_turns=True) if has_system(request) else None


def _weaker_schema(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
    if request.schema is None or not dialect.schema:
        return None
    return replace(dialect, schema="json_object" if dialect.schema == "json_schema" else "")


def _tools_in_words(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
    return replace(dialect, takes_tools=False) if request.tools else None


def _other_token_field(dialect: Dialect, _: ChatRequest, __: re.Match[str]) -> Dialect | None:
    return replace(dialect, tokens="max_completion_tokens")


def _fewer_tokens(dialect: Dialect, request: ChatRequest, found: re.Match[str]) -> Dialect | None:
    most = int(next(filter(None, found.groups())))
    return replace(dialect, most_tokens=most) if 0 < most < dialect.max_tokens(request) else None


def _warmer(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
    return replace(dialect, coldest=_COLDEST) if request.temperature < _COLDEST else None


def _cooler(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
    return replace(dialect, warmest=_WARMEST) if request.temperature > _WARMEST else None


def _without(field: str) -> Change:
    def change(dialect: Dialect, request: ChatRequest, _: re.Match[str]) -> Dialect | None:
        if field == "seed" and request.seed is None:
            return None
        return replace(dialect, without=dialect.without | {field})

    return change


def _says(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE | re.DOTALL)


_FEWER_LOGPROBS: Final = _says(
    r"logprobs\W.{0,80}?(?:<=|at\s+most|less\s+than\s+or\s+equal\s+to|maximum\s+(?:value\s+)?(?:of|is)|"
    r"between\s+\d+\s+and|\[\s*\d+\s*,|greater\s+than\s+max\w*\s+allowed\W)\s*(\d+)",
)
_TOOLS = r"(?:tools|(?:tool|function)[\s_-]?(?:use|call\w*|choice|param\w*))"
# Ollama, llama.cpp, vLLM, OpenRouter, DeepSeek, DeepInfra and Azure, in their own words.
_NO_TOOLS: Final = _says(
    rf"\b{_TOOLS}\b\W.{{0,40}}?{_NOT}",
    rf"{_NOT}.{{0,30}}?\b{_TOOLS}\b",
    rf"\b{_TOOLS}(?:\s+param\w*)?\s+requires",
    r"no\s+endpoints\s+found\s+that\s+support\s+(?:the\s+provided\s+)?\W?tool",
)
_COMPLAINTS: Final[tuple[tuple[re.Pattern[str], Change], ...]] = (
    (
        _says(
            rf"system[\s_-]*(?:role|message|prompt|instruction|turn)s?\b.{{0,60}}?{_NOT}",
            rf"{_NOT}.{{0,40}}?(?:role|message|instruction)s?\W{{0,4}}(?:of\s+|named\s+)?\W?system",
            r"does\s*n[o'’]t\s+support\s+\W?system",
            rf"{_NOT}\s+\W?system\W?(?:\s+(?:role|message|prompt|instruction)|\W)",
            r"developer\s+instruction",
            r"only\s+user\s*(?:and|/|,|or)\s*(?:assistant|model)",
            r"role\w*\W.{0,60}?(?:must\s+be|should\s+be|one\s+of|input\s+should\s+be)\W.{0,20}?user\b(?!.{0,40}system)",
        ),
        _fold,
    ),
    (_NO_TOOLS, _tools_in_words),
    (_says(r"roles?\s+must\s+alternate", r"must\s+start\s+with\s+(?:a\s+)?\W?user"), _alternate),
    (
        _says(
            r"response[_\s]?format",
            r"json[_\s-]?(?:schema|object|mode)",
            r"json_validate_failed|failed\s+to\s+(?:generate|validate)\s+json",
            r"structured[\s_]?outputs?",
            r"guided[\s_](?:json|decoding|generation)",
            r"\b\w*grammar\b",
            r"\bschema\b",
            r"\boutlines\b",
        ),
        _weaker_schema,
    ),
    (
        _says(
            r"supports\s+at\s+most\s+(\d+)\s+completion",
            r"max_(?:completion_)?tokens\W.{0,80}?(?:\[\s*\d+\s*,|<=|at\s+most|less\s+than\s+or\s+equal\s+to|"
            r"maximum\s+(?:value|of|is))\s*(\d+)",
        ),
        _fewer_tokens,
    ),
    (
        _says(
            r"max_completion_tokens", rf"\bmax_tokens\b.{{0,60}}?{_NOT}", rf"{_NOT}.{{0,60}}?\bmax_tokens\b"
        ),
        _other_token_field,
    ),
    (
        _says(
            r"temperature\W.{0,80}?(?:strictly\s+positive|greater\s+than\s+0|>\s*0|\(\s*0|positive)",
            r"temperature\W.{0,40}?(?:at\s+least|>=|minimum\W.{0,10}?)\s*0\.0*1",
        ),
        _warmer,
    ),
    (
        _says(
            r"temperature\W.{0,80}?(?:less\s+than\s+or\s+equal\s+to|<=|at\s+most|maximum\W.{0,10}?|"
            r"between\s+0(?:\.0)?\s+and|[\[(]\s*0(?:\.0)?\s*,|0(?:\.0)?\s*(?:\.\.|-|to)\s*)\s*1(?:\.0)?(?![\d.])",
        ),
        _cooler,
    ),
    *(
        (_says(rf"\b{field}\b.{{0,120}}?{_NOT}", rf"{_NOT}.{{0,120}}?\b{field}\b"), _without(field))
        for field in _OPTIONAL
    ),
)
