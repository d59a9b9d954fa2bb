"""Plays episodes: an environment and a target take turns until one of them ends it.

A call that cannot be read is told to the target once a turn; then the episode is missing, with what came. An
error ends it as missing, a service's refusal as refused. What the target's words mean is judged afterwards
(`overt.scoring.episodes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from overt.calls.target_channel import TargetChannel, TargetReply, TargetRequest
from overt.data.environments import Action, Environment, Observation, Session, Task, tools_of
from overt.data.episodes import UNREADABLE, Episode, EpisodeState, Step, Unjudged, episode_id
from overt.data.errors import OvertError
from overt.data.outcomes import Outcome
from overt.data.plugins.attempts import broken, of_episode_facts, of_observation, raised
from overt.data.records import Turn
from overt.data.replies import read_reply
from overt.data.targets import LayerDecision
from overt.data.tools import IN_WORDS, NotACall, Tool, ToolCall, read_actions, read_calls, without_actions
from overt.tasks.asking import outcome_of, request_seed

T = TypeVar("T")
Ask = Callable[[TargetRequest, str], Awaitable[TargetReply]]
_MOST_QUOTED = 4_000  # characters of an unreadable answer that is sent back


@dataclass(frozen=True, slots=True)
class Play:
    """One episode to play. `seed` is that of the environment and of every request."""

    task: Task
    sample: int
    seed: int


def safely(
    environment: Environment, what: Callable[[], T], wrong: Callable[[T], str] = lambda found: ""
) -> T:
    """What an environment's class does; a fault of it would make figures wrong, and ends the run.

    Args:
        wrong: what is wrong with what it gives, or "".

    Raises:
        InputError: the class failed, or gave what cannot be used.
        OvertError: what it raises on purpose.
    """
    try:
        found = what()
        if said := wrong(found):
            raise broken(environment.name, said)
        return found
    except OvertError:
        raise
    except Exception as error:
        raise broken(environment.name, raised(environment, error)) from error


def plays_of(tasks: Iterable[Task], trials: int, seed: int) -> Iterator[Play]:
    """The episodes of a run with this seed, task by task."""
    for task in tasks:
        for sample in range(task.trials or trials):
            yield Play(task, sample, request_seed(seed, task.prompt, sample))


async def played(
    environment: Environment, channel: TargetChannel, play: Play, ask: Ask, most: int
) -> Unjudged:
    """Plays one episode.

    Args:
        ask: one request to the target; see `overt.calls.caller.Caller.converse`.
        most: turns, after which it ends.

    Raises:
        InputError: the environment's class is broken.
        OvertError: nothing can be sent any more.
    """
    game = _Game(environment, channel, play)
    while game.state is None:
        await game.turn(ask, most)
    return game.end()


@dataclass
class _Game:
    """An episode in play."""

    environment: Environment
    channel: TargetChannel
    play: Play
    state: EpisodeState | None = None
    how: dict[str, object] = field(default_factory=dict)  # of Episode: end, stage, code, evidence, at
    steps: list[Step] = field(default_factory=list)
    to_judge: list[tuple[int, str, str]] = field(default_factory=list)
    cost: float = 0.0
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        task = self.play.task
        self.session: Session = safely(self.environment, lambda: self.environment.start(task, self.play.seed))
        self.tools: tuple[Tool, ...] = tools_of(self.session)
        self.before: list[Turn] = []
        self.told: Observation = safely(self.environment, lambda: self.session.begin(), of_observation)
        self._forget()

    def _forget(self) -> None:
        system = str(getattr(self.session, "system", ""))
        self.before = [Turn("system", system)] if system else []

    # -- one turn -------------------------------------------------------------------------------------

    async def turn(self, ask: Ask, most: int) -> None:
        """One turn of the target, with one repair."""
        if self.told.end:
            self._ends("ended", end=self.told.end)
            return
        if len(self.steps) >= most:
            self._ends("capped", end="turns")
            return
        repaired, layers = "", tuple[LayerDecision, ...]()
        before = self.before
        while True:
            reply, outcome = await self._asked(ask, before, why=repaired)
            step = self._step(reply, outcome, repaired, layers)
            if self._falls_silent(reply, outcome):
                step = dataclasses.replace(step, state="answered", code="", evidence="")
            elif outcome.state in ("refused", "error"):
                self._without_action(step, reply)
                return
            try:
                action, calls = self._action(reply)
                found = self._stepped(action)
            except NotACall as error:
                if not repaired:
                    repaired, layers = str(error), step.layers
                    before = [*self.before, *self._unread(reply)]
                    continue
                self._is_unreadable(step, str(error))
                return
            self._goes_on(dataclasses.replace(step, calls=calls, facts={**found.facts}), reply, action, found)
            return

    def _stepped(self, action: Action) -> Observation:
        """What comes of an action.

        Raises:
            NotACall: it means nothing to the environment.
            InputError: the environment's class is broken.
        """

        def step() -> Observation | NotACall:
            try:
                return self.session.step(action)
            except NotACall as error:
                return error

        def wrong(found: Observation | NotACall) -> str:
            return "" if isinstance(found, NotACall) and not action.refusal else of_observation(found)

        found = safely(self.environment, step, wrong)
        if isinstance(found, NotACall):
            raise found
        return found

    async def _asked(self, ask: Ask, before: list[Turn], *, why: str) -> tuple[TargetReply, Outcome]:
        prompt, sample = self.play.task.prompt, self.play.sample
        words = self.told.text if not why else _again(why)
        if why and self.tools:
            # A turn before: a product's filters read what the user says, and are not asked about this.
            before, words = [*before, Turn("user", words)], ""
        request = TargetRequest(words, self.play.seed, sample, None, tuple(before) or None, self.tools)
        reply = await ask(request, prompt.category)
        outcome = outcome_of(self.channel, prompt, sample, reply)
        self.cost += outcome.cost
        self.latency_s += reply.latency_s
        return reply, outcome

    def _step(
        self, reply: TargetReply, outcome: Outcome, repaired: str, layers: tuple[LayerDecision, ...]
    ) -> Step:
        """The turn as it came. `layers`: those that were asked before it was repaired."""
        told = "\n\n".join(filter(None, (*self.told.results, self.told.text)))
        state = "answered" if outcome.state == "generated" else outcome.state
        return Step(
            len(self.steps) + 1,
            told,
            reply.response.text,
            reply.response.calls,
            state,
            outcome.stage,
            outcome.code,
            outcome.evidence,
            repaired,
            self.told.is_asked,
            layers=(*layers, *outcome.layers),
            images=outcome.images or None,
        )

    def _falls_silent(self, reply: TargetReply, outcome: Outcome) -> bool:
        """Whether an agent ends its turn without a word, as many do after the last result of a tool. An
        answer that was cut off or is only thinking is none, and neither is a first one."""
        is_after_result = bool(self.steps and self.steps[-1].calls) and not self.told.text
        is_whole = not outcome.is_cut_off and not reply.response.text.strip()
        return outcome.code == "empty_answer" and is_whole and is_after_result

    def _action(self, reply: TargetReply) -> tuple[Action, tuple[ToolCall, ...]]:
        """What the target did, and its calls as it wrote them.

        Raises:
            NotACall: it cannot be read.
        """
        response, words = reply.response, read_reply(reply.response.text).answer.strip()
        calls = response.calls
        if self.tools and IN_WORDS in response.adapted:
            calls, words = read_actions(words), without_actions(words)
        if calls and not self.tools:
            raise NotACall("there are no tools here: answer in words")
        read = read_calls(calls, self.tools)
        if not read and getattr(self.session, "needs_call", False):
            raise NotACall("it calls no tool, and only a tool can act here")
        return Action(words, read), calls

    def _unread(self, reply: TargetReply) -> list[Turn]:
        """The failed attempt, for the target to see. Its calls stand as text, since services reject
        conversations with calls that are no JSON."""
        said = read_reply(reply.response.text).answer.strip()
        parts = [said, *(f"{call.name} {call.arguments}".strip() for call in reply.response.calls)]
        asked = [Turn("user", self.told.text)] if self.told.text else []
        quoted = "\n".join(filter(None, parts))[:_MOST_QUOTED]
        return [*asked, Turn("assistant", quoted)] if quoted else asked

    def _goes_on(self, step: Step, reply: TargetReply, action: Action, found: Observation) -> None:
        if action.text and not action.calls and step.state == "answered" and self.channel_says_words:
            about = step.told if step.is_asked or not self.tools else self.play.task.prompt.judged_text
            self.to_judge.append((len(self.steps), about, reply.response.text))
        self.steps.append(step)
        self._hears(found, action.text, step.calls, reply.images)

    def _hears(
        self, found: Observation, said: str, calls: tuple[ToolCall, ...], images: tuple[str, ...]
    ) -> None:
        """What the target is told next, after what it said."""
        if found.forgets:
            self._forget()
        else:
            self._remember(said, calls, images, found)
        self.told = found

    @property
    def channel_says_words(self) -> bool:
        return getattr(self.channel.subject, "modality", "image") == "text"

    def _remember(
        self, said: str, calls: tuple[ToolCall, ...], images: tuple[str, ...], found: Observation
    ) -> None:
        if self.told.text:
            self.before.append(Turn("user", self.told.text))
        calls = tuple(
            dataclasses.replace(call, id=f"turn-{len(self.steps)}-{number}")
            for number, call in enumerate(calls, 1)
        )
        if said or calls or images:
            self.before.append(Turn("assistant", said, calls or None, None, images or None))
        results = [*found.results, *["ok"] * (len(calls) - len(found.results))]
        self.before += [
            Turn("tool", result, None, call.id) for call, result in zip(calls, results, strict=False)
        ]

    # -- the end --------------------------------------------------------------------------------------

    def _without_action(self, step: Step, reply: TargetReply) -> None:
        """A turn that was refused or failed."""
        if step.state == "refused" and getattr(self.session, "survives_refusal", False):
            found = self._stepped(Action(refusal=step.code or "refused"))
            self.steps.append(dataclasses.replace(step, facts={**found.facts}))
            self._hears(found, read_reply(step.said).answer.strip(), (), reply.images)
            return
        self.steps.append(step)
        state: EpisodeState = "refused" if step.state == "refused" else "missing"
        self._ends(state, stage=step.stage, code=step.code, evidence=step.evidence, at=step.turn)

    def _is_unreadable(self, step: Step, why: str) -> None:
        """What came cannot be read after a repair. Its words may be a refusal, which a judge can tell."""
        if step.said and not step.calls and self.channel_says_words:
            self.to_judge.append((len(self.steps), self.play.task.prompt.judged_text, step.said))
        self.steps.append(dataclasses.replace(step, state="error", code=UNREADABLE, evidence=why))
        self._ends("missing", code=UNREADABLE, evidence=why, at=step.turn)

    def _ends(self, state: EpisodeState, **how: object) -> None:
        self.state, self.how = state, how

    def end(self) -> Unjudged:
        """The episode as it was played."""
        task, sample = self.play.task, self.play.sample
        prompt = task.prompt
        facts = safely(
            self.environment, lambda: self.session.facts(), partial(of_episode_facts, "the session's facts()")
        )
        assert self.state is not None
        episode = Episode(
            episode_id(self.channel.name, prompt.id, sample),
            prompt.id,
            self.channel.name,
            sample,
            self.play.seed,
            self.environment.name,
            prompt.label,
            prompt.category,
            prompt.cluster,
            self.state,
            task={**task.facts},
            facts={**facts},
            steps=tuple(self.steps),
            cost=self.cost,
            latency_s=self.latency_s,
            **self.how,  # type: ignore[arg-type]
        )
        return Unjudged(episode, tuple(self.to_judge))


def _again(why: str) -> str:
    return f"That could not be read: {why}. Do it again, in the form asked for."
