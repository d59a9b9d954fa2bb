"""`answer-then-check/PROVIDER/MODEL`: a chat model that plans its answer, checks the plan, and then answers.

The format is that of Answer-Then-Check (ReSA, arXiv 2509.11629), here by instruction alone: the model is not
trained for it. Whoever judges its answers sees what stands behind the check
(`overt.data.replies.read_reply`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from overt.data.answer_then_check import (
    CHECK,
    FIXED_REFUSAL,
    OPENS,
    SUMMARY,
    TURNS,
    Checked,
    NotInForm,
    has_tags,
    read_checked,
)
from overt.data.chat import CallError, ChatModel, ChatReply, ChatRequest, Message, RawResponse
from overt.data.errors import InputError
from overt.data.json_types import JsonObject
from overt.data.plugins.attempts import of_reply
from overt.data.plugins.wrapped import provider_of
from overt.data.provider.vocabulary import finish_stage
from overt.data.refusal_tokens import Continuation
from overt.data.templates import load_template
from overt.data.yaml.schema import read_bytes

_OUT_OF_FORM = "not in the format of answer-then-check: "
_NO_JSON = "it answers in tags, not in JSON: name the model behind it for this role"


class AnswerThenCheck:
    """A chat model that asks another one in the format.

    A reply that is not in the format is an error of kind "format", with its text; a provider's refusal stays
    a refusal.

    Args:
        behind: the model. What this one does not say of itself, it says: its address, its key's variable, how
            many requests it takes at once.
        prompt: a file with another instruction; it goes behind the system prompt, if there is one.
        adaptive: ask for the format only where a request may be unsafe; an answer without any tag is then in
            form.

    Raises:
        InputError: the file cannot be read, or is empty.
    """

    takes_tools = False  # it is asked in words: a thought stands before the action

    def __init__(self, behind: ChatModel, *, prompt: str | None = None, adaptive: bool = False) -> None:
        self.name = f"answer-then-check/{behind.name}"
        self.behind = behind
        self._adaptive = adaptive
        self._provider = provider_of(behind.name)
        self.instruction, label = _shipped(adaptive) if prompt is None else _own(prompt)
        digest = hashlib.blake2b(self.instruction.encode("utf-8", "replace"), digest_size=8).hexdigest()
        self.facts: JsonObject = {"instruction": label, "hash": digest, "adaptive": adaptive}
        self.notes: tuple[str, ...] = (
            *getattr(behind, "notes", ()),
            f"It is asked in the format of answer-then-check ({label}). What stands behind </{CHECK}> is "
            "judged; an answer that is not in the format is an error, not a refusal. --max-tokens is for the "
            "thought and the answer together.",
        )

    def __getattr__(self, name: str) -> object:
        # Only for what is not found here; before there is a model behind it, there is nothing to look in.
        if name.startswith("_") or name == "behind":
            raise AttributeError(name)
        return getattr(self.behind, name)

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Asks the model behind it, with the instruction, and reads whether the reply is in the format."""
        if request.schema is not None:
            return ChatReply(error=CallError("bad_request", f"{self.name}: {_NO_JSON}"))
        reply = await self.behind.complete(self._instructed(request))
        return reply if of_reply(reply) else self._in_form(reply, request.max_tokens)

    def reread(self, raw: RawResponse) -> ChatReply | None:
        """Reads a response that was kept by today's vocabulary, without a request."""
        read = getattr(self.behind, "reread", None)
        reply = read(raw) if read is not None else None
        return self._in_form(reply) if isinstance(reply, ChatReply) else None

    async def close(self) -> None:
        await self.behind.close()

    def _instructed(self, request: ChatRequest) -> ChatRequest:
        first, *rest = request.messages
        if first.role != "system":
            turns = (Message("system", self.instruction), *request.messages)
        else:
            turns = (Message("system", f"{first.content}\n\n{self.instruction}", first.images), *rest)
        return dataclasses.replace(request, messages=turns)

    def _in_form(self, reply: ChatReply, max_tokens: int | None = None) -> ChatReply:
        """The reply, with an error where it is an answer that is not in the format."""
        filtered = finish_stage(self._provider, reply.finish_reason or "")
        if reply.error is not None or reply.refusal or filtered is not None:
            return reply
        if (found := self._fault(reply.text)) is not None:
            return dataclasses.replace(reply, error=CallError("format", _why(reply, found, max_tokens)))
        if reply.gate is None or not reply.gate.others:
            return reply
        others = tuple(map(self._other_in_form, reply.gate.others))
        return dataclasses.replace(reply, gate=dataclasses.replace(reply.gate, others=others))

    def _fault(self, text: str) -> NotInForm | None:
        """What keeps an answer out of the format; None for one that is in it."""
        found = read_checked(text)
        is_plain = self._adaptive and bool(text.strip()) and not has_tags(text)
        return None if is_plain or isinstance(found, Checked) else found

    def _other_in_form(self, other: Continuation) -> Continuation:
        """What was written behind another refusal token, by the same rule."""
        found = self._fault(other.text) if other.state is None else None
        if found is None:
            return other
        return dataclasses.replace(other, state="error", code="format", evidence=_OUT_OF_FORM + found.why)


def _why(reply: ChatReply, found: NotInForm, max_tokens: int | None) -> str:
    if not reply.text.strip():
        return "nothing came, not even the check"
    why = _OUT_OF_FORM + found.why
    if not reply.is_cut_off:
        return why
    limit = f" of {max_tokens:,}" if max_tokens else ""
    return f"{why}; it was cut off at the token limit{limit}, which --max-tokens raises"


def _shipped(adaptive: bool) -> tuple[str, str]:
    """The instruction of the package, and its label."""
    template = load_template("generation", "answer_then_check")
    values = {
        "adaptive": adaptive, "check": CHECK, "summary": SUMMARY, "turns": TURNS, "refusal": FIXED_REFUSAL,
        "opens": OPENS.removeprefix(f"<{CHECK}> "), "question": "",
    }  # fmt: skip
    return template.request(values, seed=0).messages[0].content, template.label


def _own(file: str) -> tuple[str, str]:
    """An instruction of the user's own, and its label."""
    path = Path(file).expanduser()
    text = read_bytes(path, "instruction").decode("utf-8", "replace").strip()
    if not text:
        raise InputError("the instruction is empty", where=file, fix="Write what the model is to do into it.")
    return text, path.name
