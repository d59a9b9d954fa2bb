"""A served model with refusal tokens, by OpenAI's chat protocol: two calls a prompt, or three for a curve.

Call 1 asks for one token and for the probabilities of the most probable ones. Call 2 puts
the chosen token's text at the beginning of the answer, as a last turn of the assistant that is to be gone on
with; a third call does so with the other token where that is asked for. Before the first prompt a few tiny
requests find out whether the endpoint can do both, and in which words: one that cannot ends the run before
anything is paid for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from weakref import WeakValueDictionary

from overt.data.chat import CallError, ChatReply, ChatRequest, Message
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.provider.dialect import (
    CONTINUATIONS,
    MOST_LOGPROBS,
    NOTHING_BESIDE,
    Beside,
    complaint_of,
    fewer_logprobs,
    logprobs_wanted,
)
from overt.data.provider.logprobs import TopTokens, read_top
from overt.data.refusal_gate import Knob, answer_of, is_final

Send = Callable[[ChatRequest, Beside], Awaitable[tuple[ChatReply, Json]]]

_PROBE = ChatRequest((Message("user", "Say hello."),), temperature=1.0, max_tokens=1)
_KEPT = 20_000  # prompts whose first call is remembered
_NEVER = (403, 501)  # also how it is said that a model has no logprobs: reasoning models of OpenAI's
_DRAWS = 4  # of a first token, where the one that was drawn ends the answer and is not listed
_ELSEWHERE = (
    "Serve it with vLLM or llama.cpp's server, or run it here: hf/MODEL?refusal_tokens=FILE. "
    "No prompt was asked."
)


class Gated:
    """Asks one endpoint.

    Args:
        name: gives the model's name, for messages.
        send: makes one attempt at a request, and gives the reply and the body that it was read from.
    """

    def __init__(self, name: Callable[[], str], knob: Knob, send: Send) -> None:
        self._name, self._knob, self._send = name, knob, send
        self._most, self._heat = MOST_LOGPROBS, 0.0
        self._form: Beside | None = None  # how it is asked to go on; None: not known yet
        self._echoes = False  # whether its answer repeats the text that it goes on from
        self._lock = asyncio.Lock()
        # What was paid for already, for the next attempt at the same prompt: the first call of each prompt,
        # and answers until all of a request are there.
        self._looked: OrderedDict[Hashable, ChatReply] = OrderedDict()
        self._written: dict[Hashable, ChatReply] = {}
        self._looking: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One reply, with its gate. A failure of one of the calls is that of the attempt.

        Raises:
            InputError: the endpoint gives no probabilities, or does not go on from an answer's beginning.
        """
        if self._form is None:
            async with self._lock:
                failed = await self._probe() if self._form is None else None
            if failed is not None:
                return failed
        looked = await self._look(request)
        if looked.gate is None:  # an error, or a filter's no before the model
            return looked
        written: dict[str, ChatReply] = {}
        keys = []
        for token in (looked.gate.chosen, *self._knob.others(looked.gate)):
            key = (
                request.messages,
                request.temperature,
                request.max_tokens,
                request.seed,
                request.sample,
                token,
            )
            reply = self._written.get(key) or await self._go_on(request, token)
            if not is_final(reply):
                return reply
            self._written[key] = written[token] = reply
            keys.append(key)
        for key in keys:
            self._written.pop(key, None)
        reply = answer_of(self._name(), looked.gate, written)
        if reply.error is not None:
            return reply
        # The first call is paid for once: by the first of its answers that is there.
        due = self._looked.get(request.messages, looked)
        self._looked[request.messages] = replace(due, input_tokens=0, output_tokens=0)
        return replace(
            reply,
            input_tokens=_both(reply.input_tokens, due.input_tokens),
            output_tokens=_both(reply.output_tokens, due.output_tokens),
        )

    # -- the first call -----------------------------------------------------------------------------------

    async def _look(self, request: ChatRequest) -> ChatReply:
        """The reply to the first call, with what the rule makes of it. Samples of a prompt that are asked at
        once share it."""
        lock = self._looking.setdefault(request.messages, asyncio.Lock())
        async with lock:
            return await self._look_once(request)

    async def _look_once(self, request: ChatRequest) -> ChatReply:
        key = request.messages
        if (known := self._looked.get(key)) is not None:
            self._looked.move_to_end(key)
            return known
        reply, top = await self._top(request)
        if reply.error is not None or reply.refusal is not None:
            return reply
        if top is None:
            error = CallError("server", "the answer to the first call lists no probabilities (logprobs)")
            return replace(reply, error=error)
        tokens = self._knob.tokens
        looked = replace(reply, gate=self._knob.gate(top.shares(tokens), top.own(tokens)))
        self._looked[key] = looked
        if len(self._looked) > _KEPT:
            self._looked.popitem(last=False)
        return looked

    async def _top(self, request: ChatRequest) -> tuple[ChatReply, TopTokens | None]:
        """Asks for one token. At a temperature of 0 it is the most probable one, and probabilities are those
        of 1; some services give them as they draw, so where they take no 0 it is 1. An answer that ends at
        once is not listed by all services: then one is drawn."""
        heat, draws = self._heat, 0
        while True:
            seed = None if request.seed is None else request.seed + draws
            first = replace(request, temperature=heat, max_tokens=1, schema=None, seed=seed)
            reply, data = await self._send(first, logprobs_wanted(self._most))
            top = read_top(data)
            if fewer := fewer_logprobs(complaint_of(reply), self._most):
                self._most = fewer
            elif "warmer" in reply.adapted and heat == 0.0:
                self._heat = heat = 1.0
            elif reply.error is None and reply.refusal is None and top is None and draws < _DRAWS:
                heat, draws = 1.0, draws + 1
            else:
                return reply, top

    # -- the second call ----------------------------------------------------------------------------------

    async def _go_on(self, request: ChatRequest, token: str) -> ChatReply:
        """The answer behind a token, without the token's text; as the model begins by itself for ""."""
        if not token:
            return (await self._send(request, NOTHING_BESIDE))[0]
        assert self._form is not None
        text = self._knob.tokens.all[token]
        reply, _ = await self._send(_begun(request, text), self._form)
        if not self._echoes:
            return reply
        return replace(reply, text=_behind(reply.text, text))

    # -- what the endpoint can do -------------------------------------------------------------------------

    async def _probe(self) -> ChatReply | None:
        """Finds out once how the endpoint is asked. Returns the reply of a failure that says nothing of that.

        Raises:
            InputError: it cannot do what is needed.
        """
        looked, top = await self._top(_PROBE)
        if missing := _missing(looked, top):
            raise self._unable(*missing)
        if looked.error is not None or looked.input_tokens is None:
            return looked
        said, least = "", None
        for form in CONTINUATIONS:
            failed, grown, echoed = await self._longer(form, looked.input_tokens)
            if failed is None and set(grown.values()) == {1}:
                self._form, self._echoes = form, echoed
                return None
            if failed is None and 1 in grown.values():
                raise self._split(grown)
            complaint = "" if failed is None else complaint_of(failed)
            if failed is not None and not complaint:
                return failed
            said = said or complaint
            least = min(grown.values(), default=None) if least is None else least
        told = "is not taken" if least is None else f"made the prompt {least} tokens longer, not 1"
        beginning = "does not go on from an answer's beginning: a refusal token as the beginning"
        raise self._unable(f"{beginning} {told}", said)

    async def _longer(self, form: Beside, before: int) -> tuple[ChatReply | None, dict[str, int], bool]:
        """How many tokens longer the text of each refusal token makes the prompt: 1 where the endpoint goes
        on from it and it is one token of the model. And whether all answers repeat it.

        Args:
            before: tokens of the prompt alone.

        Returns:
            the reply of a failure or None, the numbers by name, whether texts are repeated.
        """
        grown: dict[str, int] = {}
        echoed = []
        for name, text in self._knob.tokens.all.items():
            reply, _ = await self._send(_begun(_PROBE, text), form)
            if reply.error is not None:
                return reply, grown, False
            grown[name] = (reply.input_tokens or 0) - before
            echoed.append(reply.text.strip().startswith(text.strip()))
        return None, grown, all(echoed)

    def _split(self, grown: dict[str, int]) -> InputError:
        name = next(name for name, more in grown.items() if more != 1)
        text = self._knob.tokens.all[name]
        return InputError(
            f"{self._name()}: {text!r} is not one token of this model: it is {grown[name]} at the beginning "
            "of an answer",
            fix="Name the tokens that it was trained with, blanks included, in the file of refusal_tokens.",
        )

    def _unable(self, what: str, said: str) -> InputError:
        told = f" (its words: {' '.join(said.split())[:200]})" if said else ""
        return InputError(f"{self._name()}: the endpoint {what}{told}", fix=_ELSEWHERE)


def _missing(looked: ChatReply, top: TopTokens | None) -> tuple[str, str] | None:
    """What the answer to a first call lacks, and the endpoint's words; None if nothing is known to be."""
    lacks = "gives no probabilities of tokens (logprobs)"
    said = complaint_of(looked)
    if looked.error is not None and looked.error.status in _NEVER:
        said = said or looked.error.message
    if "logprob" in said.casefold():
        return lacks, said
    if looked.error is not None:
        return None
    if looked.refusal is not None:
        return "refused the request that tries it out", looked.refusal
    if top is None:
        return f"{lacks}: its answer holds none", ""
    if looked.input_tokens is None:
        return (
            "counts no tokens (usage), so that nobody can tell whether it goes on from an answer's beginning "
            "or starts anew",
            "",
        )
    return None


def _begun(request: ChatRequest, text: str) -> ChatRequest:
    """The request with the beginning of the answer."""
    return replace(request, messages=(*request.messages, Message("assistant", text)))


def _both(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _behind(text: str, beginning: str) -> str:
    """An answer without the text that it repeats."""
    for known in (beginning, beginning.strip()):
        if text.startswith(known):
            return text[len(known) :].lstrip()
    return text
