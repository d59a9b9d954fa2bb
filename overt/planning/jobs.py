"""The simulations of a plan, in several processes: the answers, their ranges, the map."""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from overt.data.results.plan_row import Answer, MapCell, Trial, Varied
from overt.planning.assumptions import with_value
from overt.planning.control import KINDS, Kind, Policy
from overt.planning.search import Search, Shown
from overt.planning.setting import Setting

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Found:
    """The answers of one setting, and the row to draw with the same row without a budget."""

    budget_w: float
    peak_share: float
    answers: tuple[Answer, ...]
    shown: Shown | None


def answered(setting: Setting, kinds: Sequence[Kind]) -> Found:
    """The largest row under each policy; that of the first one that has any is to be drawn."""
    search = Search(setting)
    policies = _policies(setting, kinds)
    answers = _largest(search, policies)
    drawn = next((pair for pair in zip(policies, answers, strict=True) if pair[1].servers), None)
    shown = search.trial(drawn[0], drawn[1].servers) if drawn else None
    return Found(search.budget_w, search.peak_share, answers, shown)


def _policies(setting: Setting, kinds: Sequence[Kind] = KINDS) -> list[Policy]:
    """The policy of the setting and its baselines: the same figures, by other rules."""
    return [dataclasses.replace(setting.policy, kind=kind) for kind in kinds]


def _largest(search: Search, policies: Sequence[Policy]) -> tuple[Answer, ...]:
    """The largest row under each policy; each search begins where the one before it ended."""
    answers: list[Answer] = []
    for policy in policies:
        answers.append(search.largest(policy, answers[-1].servers if answers else 0))
    return tuple(answers)


def varied(setting: Setting, name: str, value: float) -> Varied:
    """The answers where one assumption has another value; name "": as it stands."""
    search = Search(with_value(setting, name, value) if name else setting)
    return Varied(
        name=name,
        value=value,
        days=setting.load.days,
        peak_share=search.peak_share,
        servers={answer.policy: answer.servers for answer in _largest(search, _policies(setting))},
    )


def held_out(
    setting: Setting, budget_w: float, answers: Sequence[Answer], seed: int
) -> list[tuple[str, Trial]]:
    """Whether the answers still keep the limits under another draw of the load, by policy."""
    load = dataclasses.replace(setting.load, seed=seed)
    search = Search(dataclasses.replace(setting, budget_w=budget_w, load=load))
    policies: dict[str, Policy] = {policy.kind: policy for policy in _policies(setting)}
    return [
        (answer.policy, search.trial(policies[answer.policy], answer.servers).trial)
        for answer in answers
        if answer.servers
    ]


def mapped(setting: Setting, guess: int, budget_w: float, t1: float, t2s: Sequence[float]) -> list[MapCell]:
    """The largest row under POLCA with other thresholds and the same budget: one column of the map."""
    search = Search(dataclasses.replace(setting, budget_w=budget_w))
    cells: list[MapCell] = []
    for t2 in t2s:
        policy = dataclasses.replace(setting.policy, kind="polca", t1=t1, t2=t2)
        answer = search.largest(policy, cells[-1].answer.servers if cells else guess)
        cells.append(MapCell(t1=t1, t2=t2, answer=answer))
    return cells


class Crew:
    """Runs functions in other processes, and says when one is done."""

    def __init__(self, pool: Executor, told: Callable[[int], None]) -> None:
        self._pool, self._told = pool, told

    def submit(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        future = self._pool.submit(function, *arguments)
        future.add_done_callback(lambda done: None if done.cancelled() else self._told(1))
        return future


class _AtOnce(Executor):
    """Runs a function in this process when it is submitted, so that Ctrl-C ends it."""

    def submit(self, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_result(function(*arguments, **named))
        return future


@contextmanager
def crew(processes: int, told: Callable[[int], None]) -> Iterator[Crew]:
    """So many processes; with one, this one. An error or Ctrl-C ends what they do.

    Args:
        told: is called with 1 as each function is done, maybe from another thread.
    """
    if processes <= 1:
        yield Crew(_AtOnce(), told)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=_begun) as pool:
        try:
            yield Crew(pool, told)
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _begun() -> None:
    """Ctrl-C is for the command, which ends its processes; one that is killed cannot, so that each of them
    ends itself. Garbage is collected as rarely as there: a simulation makes millions of tuples and no
    circle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_ends_with_its_command, daemon=True).start()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _ends_with_its_command() -> None:
    """Waits in a process of the crew until the command is gone."""
    command = multiprocessing.parent_process()
    if command is not None:
        command.join()
        os._exit(1)
