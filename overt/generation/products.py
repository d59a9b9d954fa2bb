"""Products (filters, generator, checkers in a row), and bare filters and chat models as targets.

With `every_layer` each layer decides even after an earlier one blocked, so that the report can say what
each refuses alone, what it adds to the others, and what dropping it would cost.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from overt.data.chat import CallError, ChatModel, ChatRequest, Message, RawResponse, is_blind
from overt.data.filters import FilterDecision, ImageChecker, TextFilter, worst
from overt.data.json_types import JsonObject
from overt.data.local.deciding import Decider
from overt.data.pictures import UnreadablePicture, open_frames
from overt.data.plugins.attempts import (
    BROKEN_CLASS,
    call_target,
    close_target,
    fault,
    of_decision,
    of_reply,
    raised,
)
from overt.data.plugins.wrapped import provider_of
from overt.data.provider.answers import response_of
from overt.data.provider.vocabulary import finish_stage, refusal_stage
from overt.data.records import Turn
from overt.data.targets import (
    NOT_ASKED,
    SAFETY_FLAGS,
    Extra,
    LayerDecision,
    RefusalStage,
    Response,
    Target,
    safety_flags,
)
from overt.data.tool_words import in_words
from overt.data.tools import IN_WORDS, Tool

_BATCH = 256  # texts in one call of a local filter
_CHECK_TRIES = 4  # calls of a remote checker: the picture is paid for by then
_HOPELESS = frozenset(
    {"auth", "billing", "forbidden", "bad_request", BROKEN_CLASS}
)  # a retry would fail again


class Layer:
    """One filter or checker, called off the event loop, in batches if it can."""

    def __init__(self, thing: TextFilter | ImageChecker, stage: RefusalStage, threads: int) -> None:
        self.name, self.stage = thing.name, stage
        self._thing = thing
        size = _BATCH if stage == "prompt_filter" else 16
        self._decide = Decider(thing, threads=threads, local_threads=2, batch=size)
        self.is_remote = self._decide.is_remote
        self.most = self._decide.most  # items that it has use for at once

    async def decide(self, *what: Any) -> FilterDecision:
        """Returns the decision; an exception or a wrong return value becomes its error."""
        try:
            decision = await self._decide(*what)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return FilterDecision(None, error=fault(self.name, raised(self._thing, error)))
        if wrong := of_decision(decision):
            return FilterDecision(None, error=fault(self.name, wrong))
        return decision

    async def close(self) -> None:
        await self._decide.close()

    def said(self, decision: FilterDecision) -> LayerDecision:
        # NumPy's bool and float cannot be written to the journal.
        blocked = None if decision.blocked is None else bool(decision.blocked)
        score = None if decision.score is None else float(decision.score)
        return LayerDecision(self.name, self.stage, blocked, score, (decision.reason or "")[:200])


class FilterTarget:
    """A bare text filter as a target: its decision is the response."""

    modality = "none"

    def __init__(self, text_filter: TextFilter, *, threads: int = 32) -> None:
        self.name = text_filter.name
        self._layer = Layer(text_filter, "prompt_filter", threads)
        self.api_key_env = getattr(text_filter, "api_key_env", "")
        self.notes: tuple[str, ...] = tuple(getattr(text_filter, "notes", ()))
        if not self._layer.is_remote:
            self.max_concurrency = self._layer.most

    async def respond(self, prompt: str, *, seed: int) -> Response:
        decision = await self._layer.decide(prompt)
        if decision.error is not None:
            return Response(error=decision.error)
        return Response(layers=(self._layer.said(decision),))

    async def close(self) -> None:
        await self._layer.close()


class ChatTarget:
    """A language model as a target.

    Args:
        system: a system prompt before every prompt, or "".
        max_tokens, temperature: passed to the model.
    """

    modality = "text"

    def __init__(
        self, chat: ChatModel, *, system: str = "", max_tokens: int = 512, temperature: float = 0.0
    ) -> None:
        self.name = chat.name
        self.takes: tuple[Extra, ...] = ("turns", "tools", *(() if is_blind(chat) else ("picture",)))
        self.behind: object = chat
        self.facts: JsonObject = getattr(chat, "facts", {})
        self._chat, self._system = chat, system
        self._max_tokens, self._temperature = max_tokens, temperature
        self.api_key_env = getattr(chat, "api_key_env", "")
        self.address = getattr(chat, "address", "")
        if own := getattr(chat, "max_concurrency", None):
            self.max_concurrency = int(own)

    async def respond(
        self,
        prompt: str,
        *,
        seed: int,
        picture: bytes | None = None,
        turns: tuple[Turn, ...] = (),
        tools: tuple[Tool, ...] = (),
    ) -> Response:
        """Returns one response: a content filter's code in `code`, the model's words in `text`, the tools
        that it called in `calls`."""
        said = self._said(prompt, picture, turns)
        request = ChatRequest(said, self._temperature, self._max_tokens, seed=seed, tools=tools)
        is_worded = bool(tools) and not getattr(self._chat, "takes_tools", False)
        reply = await self._chat.complete(in_words(request) if is_worded else request)
        if wrong := of_reply(reply):
            return Response(error=fault(self.name, wrong))
        if is_worded and reply.error is None:
            reply = dataclasses.replace(reply, adapted=(*reply.adapted, IN_WORDS))
        return response_of(self.name, reply, seed)

    def _said(self, prompt: str, picture: bytes | None, turns: tuple[Turn, ...]) -> tuple[Message, ...]:
        """What was said before, then what is asked."""
        said = [Message("system", self._system)] if self._system else []
        if said and turns and turns[0].role == "system":
            said, turns = [Message("system", f"{self._system}\n\n{turns[0].content}")], turns[1:]
        said += [Message(t.role, t.content, (), t.calls or (), t.call_id or "") for t in turns]
        if prompt or picture or not turns:  # else the last result of a tool is what it answers
            said.append(Message("user", prompt, (picture,) if picture else ()))
        return tuple(said)

    def reread(self, raw: RawResponse) -> Response | None:
        """Reads a response that was kept by today's vocabulary, without a request."""
        read = getattr(self._chat, "reread", None)
        reply = read(raw) if read is not None else None
        return None if reply is None else response_of(self.name, reply, None)

    async def close(self) -> None:
        await self._chat.close()


class Guarded:
    """A product: text filters, then the generator, then image checkers over what it drew.

    Args:
        target: the generator; None for filters alone.
        every_layer: ask every layer, even after one blocked.
    """

    def __init__(
        self,
        name: str,
        target: Target | None,
        filters: Sequence[TextFilter] = (),
        checkers: Sequence[ImageChecker] = (),
        *,
        every_layer: bool = False,
        threads: int = 32,
    ) -> None:
        self.name = name
        self.modality = getattr(target, "modality", "image") if target else "none"
        # Text filters in front of it read the text alone; the report's layers say which decided.
        self.takes: tuple[Extra, ...] = tuple(getattr(target, "takes", ()))
        self.behind: object = target
        self._target, self._every = target, every_layer
        self._filters = [Layer(f, "prompt_filter", threads) for f in filters]
        self._checkers = [Layer(c, "image_filter", threads) for c in checkers]
        own = getattr(target, "max_concurrency", None)
        if own:
            self.max_concurrency = int(own)
        elif target is None and not any(f.is_remote for f in self._filters):
            self.max_concurrency = max((f.most for f in self._filters), default=1)
        self.api_key_env = getattr(target, "api_key_env", "")
        self.address = getattr(target, "address", "")
        self.priced_as = getattr(target, "name", name)
        self.blank_is_refusal = getattr(target, "blank_is_refusal", False) is True
        self.facts: JsonObject = getattr(target, "facts", {})

    async def respond(
        self,
        prompt: str,
        *,
        seed: int,
        picture: bytes | None = None,
        turns: tuple[Turn, ...] = (),
        tools: tuple[Tool, ...] = (),
        drawn: Mapping[str, bytes] | None = None,
    ) -> Response:
        """Returns the product's response, with every layer that was asked in `layers`. Filters read what the
        user says: where an agent goes on after a tool's result, there is nothing for them to read."""
        layers: list[LayerDecision] = []
        for layer in self._filters if prompt or not turns else ():
            decision = await layer.decide(prompt)
            if decision.error is not None:
                return Response(layers=tuple(layers), error=decision.error)
            layers.append(layer.said(decision))
            if decision.blocked and not self._every:
                return Response(layers=tuple(layers))
        if self._target is None:
            return Response(layers=tuple(layers))
        response = await call_target(
            self._target, prompt, seed, picture=picture, turns=turns, tools=tools, drawn=drawn
        )
        if response.error is not None:
            return dataclasses.replace(response, layers=(*layers, *response.layers))
        layers += _said_by(self._target.name, response, self.modality)
        if self._checkers and (self._every or (response.images and not any(x.blocked for x in layers))):
            checked = await self._check(response.images, prompt)
            if isinstance(checked, CallError):
                return Response(layers=tuple(layers), error=checked)
            layers += checked
        return dataclasses.replace(response, layers=tuple(layers))

    def reread(self, raw: RawResponse) -> Response | None:
        """The generator's response in a kept one, as today's vocabulary reads it, with its own layers."""
        read = getattr(self._target, "reread", None)
        response: object = read(raw) if read is not None else None
        if self._target is None or not isinstance(response, Response) or response.error is not None:
            return response if isinstance(response, Response) else None
        own = response.layers or tuple(_own_layers(self._target.name, response, self.modality))
        return dataclasses.replace(response, layers=own)

    async def _check(self, images: tuple[bytes, ...], prompt: str) -> list[LayerDecision] | CallError:
        """Returns each checker's decision: blocked if it blocks one of the pictures, or a frame of one."""
        try:
            frames = [await asyncio.to_thread(open_frames, data) for data in images]
        except UnreadablePicture:  # scoring reports broken pictures
            return self._unchecked("the picture cannot be read")
        if not frames:
            return self._unchecked("there is no picture to look at")
        found = []
        for layer in self._checkers:
            decisions = []
            for picture in itertools.chain.from_iterable(frames):
                decision = await self._patiently(layer, picture, prompt)
                if decision.error is not None:
                    return decision.error
                decisions.append(decision)
            decision = worst(decisions)
            found.append(layer.said(decision))
            if decision.blocked and not self._every:
                break
        return found

    def _unchecked(self, why: str) -> list[LayerDecision]:
        return [layer.said(FilterDecision(None, reason=NOT_ASKED + why)) for layer in self._checkers]

    async def _patiently(self, layer: Layer, picture: Any, prompt: str) -> FilterDecision:
        for attempt in range(_CHECK_TRIES):
            decision = await layer.decide(picture, prompt)
            if decision.error is None or decision.error.kind in _HOPELESS:
                break
            await asyncio.sleep(min(decision.error.retry_after or 2.0**attempt, 30.0))
        return decision

    async def close(self) -> None:
        for layer in (*self._filters, *self._checkers):
            await layer.close()
        if self._target is not None:
            await close_target(self._target)


def _said_by(name: str, response: Response, modality: str) -> list[LayerDecision]:
    """Returns the decisions of the generator's own layers: those that it names, or its own protection.

    A refusal that none of the named layers stands for (a code that only the shared vocabulary knows) is one
    of its own protection.
    """
    own = _own_layers(name, response, modality)
    if response.layers and (any(x.blocked for x in response.layers) or not any(x.blocked for x in own)):
        return list(response.layers)
    return [*response.layers, *own]


def _own_layers(name: str, response: Response, modality: str) -> list[LayerDecision]:
    """Returns the decisions of the generator's own protection: of the service, and of its checker if that
    ran. Each says of every answer whether it blocked."""
    provider = provider_of(name)
    flags = safety_flags(response)
    layers: list[LayerDecision] = []
    finish = response.finish_reason or ""
    for code, stage in (
        (response.code, refusal_stage(provider, response.code)),
        (finish, finish_stage(provider, finish)),
    ):
        if stage is not None and code not in SAFETY_FLAGS:
            layers.append(LayerDecision(name, stage, True, reason=code[:200]))
            break
    # Whether a text refuses is for a judge to decide. A local pipeline has no protection besides its checker.
    is_local = response.status is None and any(key in response.safety for key in SAFETY_FLAGS)
    if not layers and modality != "text" and not is_local:
        layers.append(LayerDecision(name, "model", not response.images and not flags and bool(response.text)))
    if flags:
        is_blocked = all(flag is True for flag in flags)
        layers.append(LayerDecision(f"{name} safety checker", "image_filter", is_blocked))
    return layers
