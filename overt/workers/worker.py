"""The work of one worker: it makes models by their names and gives them whole batches.

A batch was cut in the driver by the rule that cuts it in one process; here its items reach the model together
(`overt.data.local.batches.together`), so that the same items share a batch wherever it is drawn.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial

import overt
from overt import registry
from overt.data.chat import CallError, ChatReply, ChatRequest
from overt.data.errors import InputError, OvertError
from overt.data.filters import FilterDecision
from overt.data.local.batches import together
from overt.data.local.memory import free_memory
from overt.data.measured import facts_of
from overt.data.plugins.attempts import call_target, close_target, fault, raised
from overt.data.plugins.code import code_of
from overt.data.records import Turn
from overt.data.targets import Response
from overt.workers.parts import ATTRIBUTES, Answer, Facts, Item, Part, Place, Reply

# A prompt, its seed, the picture that it carries, what was said before.
Asked = tuple[str, int, bytes | None, tuple[Turn, ...], Mapping[str, bytes] | None]

_LOADERS: dict[str, Callable[..., Answer]] = {
    "overt.targets": registry.load_target,
    "overt.chat_models": registry.load_chat_model,
    "overt.filters": registry.load_filter,
    "overt.checkers": registry.load_checker,
    "overt.scorers": registry.load_scorer,
}


class Worker:
    """Holds the models of one device. Its methods may be called in several threads; they do not raise but
    answer with a `Reply`."""

    def __init__(self, place: Place) -> None:
        place.take()
        self._version = place.version
        self._models: dict[str, Answer] = {}
        self._loading, self._turns = threading.Lock(), dict[str, threading.Lock]()
        self._log = _Log()
        logging.getLogger("overt").addHandler(self._log)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="overt-worker", daemon=True).start()

    def answer(self, method: str, *arguments: Item) -> Reply:
        """What a method of this class returns, or its error."""
        error: Exception | str
        try:
            value = getattr(self, method)(*arguments)
            return Reply(value, None, self._log.taken())
        except OvertError as failed:
            error = failed.with_traceback(None)
            error.__cause__ = error.__context__ = None
        except Exception as failed:
            error = raised(self, failed)
        return Reply(None, error, self._log.taken())

    def make(self, part: Part) -> Facts:
        """Loads a model, unless it is there.

        Raises:
            InputError: as the registry, which makes it; or this machine has another overt.
        """
        if self._version != overt.__version__:
            raise InputError(
                f"a worker has overt {overt.__version__}, and this command is of {self._version}",
                fix="Install the same overt on all machines of the cluster.",
            )
        with self._loading:
            if part.id not in self._models:
                self._models[part.id] = _LOADERS[part.group](part.text, **part.options)
                self._turns[part.id] = threading.Lock()
        model = self._models[part.id]
        said = {name: getattr(model, name) for name in ATTRIBUTES if hasattr(model, name)}
        return Facts({**said, "code_hash": code_of(model)})

    def drop(self, part_id: str) -> None:
        """Closes a model and frees its memory."""
        model = self._models.pop(part_id, None)
        if hasattr(model, "respond") or hasattr(model, "complete"):
            asyncio.run_coroutine_threadsafe(close_target(model), self._loop).result(30)
        del model
        if "torch" in sys.modules:
            free_memory()

    def run(self, part: Part, items: Sequence[Item], one_by_one: bool = False) -> list[Answer]:
        """The replies of a model to one batch, in its order.

        Args:
            one_by_one: a filter or a checker that decides many at once does not.
        """
        self.make(part)  # a worker that was started anew by Ray has no model yet
        model = self._models[part.id]
        if part.group in _ASKED:
            ask = _ASKED[part.group]
            calls = [partial(ask, model, item) for item in items]
            return asyncio.run_coroutine_threadsafe(together(calls), self._loop).result()
        with self._turns[part.id]:
            return _decided(model, part.group, items, one_by_one)

    def call(self, part: Part, method: str, argument: object) -> object:
        """What a method of a model gives for one argument."""
        self.make(part)
        with self._turns[part.id]:
            return getattr(self._models[part.id], method)(argument)


async def _respond(model: Answer, asked: Asked) -> Response:
    """The response of a target, with its pictures measured."""
    prompt, seed, picture, turns, drawn = asked
    try:
        response = await call_target(model, prompt, seed, picture=picture, turns=turns, drawn=drawn)
    except TimeoutError as error:
        return Response(seed=seed, error=CallError("timeout", raised(model, error)))
    if not response.images or response.error is not None:
        return response
    found = [await asyncio.to_thread(facts_of, data) for data in response.images]
    images = tuple(bytes(image) for image in response.images)
    return dataclasses.replace(response, images=images, measured=tuple(found))


async def _complete(model: Answer, request: ChatRequest) -> ChatReply:
    try:
        reply: ChatReply = await model.complete(request)
    except OvertError:
        raise
    except TimeoutError as error:
        return ChatReply(error=CallError("timeout", raised(model, error)))
    except Exception as error:
        return ChatReply(error=fault(model.name, raised(model, error)))
    return reply


_Ask = Callable[[Answer, Item], Coroutine[None, None, Answer]]
_ASKED: dict[str, _Ask] = {"overt.targets": _respond, "overt.chat_models": _complete}


def _decided(
    model: Answer, group: str, items: Sequence[tuple[Item, ...]], one_by_one: bool
) -> list[FilterDecision]:
    """The decisions of a filter or a checker.

    Args:
        items: its arguments, one tuple for each decision.
    """
    one, many = ("decide", "decide_many") if group == "overt.filters" else ("check", "check_many")
    try:
        if hasattr(model, many) and not one_by_one:
            found = list(getattr(model, many)(*(list(column) for column in zip(*items, strict=True))))
        else:
            found = [getattr(model, one)(*item) for item in items]
    except OvertError:
        raise
    except Exception as error:
        return [FilterDecision(None, error=fault(model.name, raised(model, error)))] * len(items)
    if len(found) != len(items):
        raise InputError(f"{model.name}: {len(items)} items, {len(found)} decisions")
    return found


class _Log(logging.Handler):
    """Keeps warnings until the next reply takes them to the driver."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage()[:1000])

    def taken(self) -> tuple[str, ...]:
        said, self._said = self._said, []
        return tuple(said)
