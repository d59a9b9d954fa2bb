"""How the stages of `overt generate` overlap: one reads what another still makes.

Order, counts and outcome are those of stages that follow each other. They do follow each other where models
share a device, and with --batch, which gathers all requests of a stage first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

from overt.data.abreast import Ahead
from overt.data.chat import Answer, Ask, ChatModel, Question
from overt.data.lanes import lane_of
from overt.tasks.roles import Roles
from overt.tasks.task import Work

T = TypeVar("T")


@dataclass
class Overlap:
    """Whether the stages of a run overlap (`is_on`), and the end of those that do when one of them fails.

    names: of the models, in the order in which stages that follow each other would ask them.
    """

    is_on: bool
    names: Sequence[str] = ()
    _halted: Event = field(default_factory=Event)
    _parts: list[Ahead[object]] = field(default_factory=list)

    def ahead(self, items: Iterable[T]) -> Iterator[T]:
        """The items, made while whoever takes them is at work; without overlap all of them are made now."""
        if not self.is_on:
            return iter(list(items))
        part: Ahead[T] = Ahead(items)
        self._parts.append(part)  # type: ignore[arg-type]
        return part

    def ask(self, ask: Ask) -> Ask:
        """The same model, which is asked nothing more after `halt`."""
        return _Halting(ask, self._halted)

    def halt(self) -> None:
        """Lets every stage come to its end: no further question is read."""
        self._halted.set()

    @contextlib.contextmanager
    def together(self, work: Work) -> Iterator[None]:
        """Stages that overlap. Where one fails, the others finish what they have begun, since it may be paid
        for. Notes come in the order of the models.

        Raises:
            Exception: that of the stage that failed, also where the last one was halted before it met it.
        """
        noted = len(work.notes)
        try:
            yield
        except Exception:
            self.halt()
            for part in self._parts:
                part.settle()
            raise
        if self._halted.is_set():
            for error in [part.settle() for part in self._parts]:
                if error is not None:
                    raise error
        self._parts.clear()
        work.notes[noted:] = sorted(work.notes[noted:], key=self._place)

    def _place(self, note: str) -> int:
        places = (n for n, name in enumerate(self.names) if note.startswith((f"{name} ", f"{name}:")))
        return next(places, -1)


class _Halting:
    """The `Ask` of a model whose questions end early when the run is halted."""

    def __init__(self, inner: Ask, halted: Event) -> None:
        self.model = inner.model
        self._inner, self._halted = inner, halted

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        return self._inner(self._until_halted(questions))

    def _until_halted(self, questions: Iterable[Question[T]]) -> Iterator[Question[T]]:
        for question in questions:
            if self._halted.is_set():
                return
            yield question


def overlap_of(roles: Roles, work: Work) -> Overlap:
    """How the stages of a run with these models overlap."""
    options = work.caller.options
    models = _models(roles)
    devices = [lane for model in models if (lane := lane_of(model))]
    gathers = options.batch or options.batch_cancel
    return Overlap(
        bool(models) and not gathers and len(set(devices)) == len(devices), [model.name for model in models]
    )


def _models(roles: Roles) -> list[ChatModel]:
    """The chat models, each once, in the order of the stages."""
    judges = [judge.chat for judge in roles.judges]
    found = (roles.chat, *judges, roles.probe.chat if roles.probe else None)
    return list({id(model): model for model in found if model is not None}.values())
