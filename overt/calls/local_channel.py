"""The channels of image checkers and of filters that judge answers: each verdict is journalled."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from overt.calls.caller import Caller
from overt.calls.channel import UnreadableRow, check, stopped_error
from overt.calls.costs import Price
from overt.data.chat import CallError, RawResponse
from overt.data.errors import InputError, OvertError
from overt.data.filters import AnswerChecks, AnswerFilter, Checked, FilterDecision, ImageChecker, worst
from overt.data.json_types import JsonObject
from overt.data.local.deciding import Decider
from overt.data.pictures import UnreadablePicture, open_frames
from overt.data.plugins.attempts import BROKEN_CLASS, broken, of_decision, raised
from overt.data.secrets import storable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_BATCH = 16  # pictures in one call of a checker that takes many
_ANSWERS = 64  # answers in one call of a filter that takes many
_GONE = 404  # the status of a picture that is not there: it is looked for again


@dataclass(frozen=True, slots=True)
class Look:
    """One picture for a checker. `path`: where it lies, as the channel's `load` takes it; `picture`: its
    hash, which goes into the journal's key."""

    path: str
    picture: str
    prompt: str


@dataclass(frozen=True, slots=True)
class VerdictReply:
    """What a checker said, as the caller sees it. It costs nothing that is known, and has no tokens."""

    checked: Checked
    latency_s: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    raw: RawResponse | None = None
    adapted: tuple[str, ...] = ()
    is_estimate: bool = False
    price_share: float | None = None

    @property
    def error(self) -> CallError | None:
        return self.checked.decision.error


class VerdictChannel:
    """What the channels of checkers and of filters have in common: a verdict as the journal has it.

    Args:
        subject: the checker or filter.
        version: of what decides its verdicts besides its name. Two that differ share no verdicts.
        decide: asks it, off the event loop.
    """

    def __init__(self, subject: ImageChecker | AnswerFilter, version: str, decide: Decider) -> None:
        self.name = subject.name
        self.subject: object = subject
        self.patient = True  # it has a time limit of its own, or waits in its queue
        self.key_hint = str(getattr(subject, "api_key_env", "") or "")
        self.address = str(getattr(subject, "address", "") or "")
        is_free = not self.key_hint or getattr(subject, "is_free", False) is True
        self.price: Price | None = Price(image=0.0) if is_free else None
        self._version, self._decide = version, decide
        # Two batches, or one more than are decided at once: some are read meanwhile.
        own = 2 * decide.most if decide.takes_many else int(getattr(subject, "lanes", 1)) + 1
        self.ceiling = None if decide.is_remote and not decide.takes_many else own

    async def _decision(self, *what: object) -> FilterDecision:
        decision = await self._decide(*what)
        if wrong := of_decision(decision):
            raise broken(self.name, wrong)
        # NumPy's bool and float cannot be written to the journal.
        blocked = None if decision.blocked is None else bool(decision.blocked)
        score = None if decision.score is None else float(decision.score)
        return dataclasses.replace(decision, blocked=blocked, score=score)

    def failed(self, error: CallError) -> VerdictReply:
        return VerdictReply(Checked(storable(FilterDecision(None, error=error))))

    def timed(self, reply: VerdictReply, seconds: float) -> VerdictReply:
        return dataclasses.replace(reply, latency_s=seconds)

    def by_batch(self, reply: VerdictReply, share: float) -> VerdictReply:
        return dataclasses.replace(reply, price_share=share)

    def pack(self, reply: VerdictReply) -> JsonObject:
        decision = dataclasses.asdict(reply.checked.decision)
        error = decision.pop("error")
        broken = {"broken": reply.checked.broken} if reply.checked.broken else {}
        return {**decision, **broken, "latency_s": reply.latency_s, "error": error}

    def unpack(self, data: JsonObject) -> VerdictReply:
        packed: dict[str, Any] = dict(data)
        try:
            error, why = packed["error"], packed.get("broken", "")
            decision = FilterDecision(
                packed["blocked"],
                packed["score"],
                packed["reason"],
                error=CallError(**error) if error else None,
            )
            latency = packed["latency_s"]
        except (TypeError, KeyError) as error:
            raise UnreadableRow(str(error)) from error
        check(of_decision(decision) or ("" if isinstance(why, str) else "broken is no text"), latency)
        return VerdictReply(Checked(decision, why), latency)

    def reread(self, reply: VerdictReply) -> VerdictReply | None:
        return reply

    def counted(self, request: object, reply: VerdictReply) -> VerdictReply:
        return reply

    def without_body(self, reply: VerdictReply, note: str) -> VerdictReply:
        """The verdict without its words: that a checker blocks what the floor forbids is a verdict still."""
        said = reply.checked.decision
        error = stopped_error(said.error, note) if said.error is not None else None
        bare = dataclasses.replace(said, reason=note, error=error)
        return dataclasses.replace(reply, checked=Checked(bare, note if reply.checked.broken else ""))

    def cost(self, reply: VerdictReply) -> float:
        return 0.0

    async def close(self) -> None:
        await self._decide.close()


class CheckerChannel(VerdictChannel):
    """The channel of an image checker. Of several frames the worst decision counts, or the first error.

    Checkers that take many pictures get them in batches, those behind a service in threads, as many as the
    user's --concurrency says, and others one by one.

    Args:
        version: of what decides its verdicts besides its name. Two that differ share no verdicts.
        load: reads a picture by its path; called in threads.
        threads: the most for a checker behind a service.
    """

    def __init__(
        self, checker: ImageChecker, version: str, load: Callable[[str], bytes], *, threads: int
    ) -> None:
        decide = Decider(checker, threads=threads, local_threads=1, batch=_BATCH)
        super().__init__(checker, version, decide)
        self._checker, self._load = checker, load
        self._reads_prompt = getattr(checker, "reads_prompt", True) is not False
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="overt-pictures")

    async def send(self, request: Look) -> VerdictReply:
        """Looks at one picture.

        Raises:
            OvertError: the checker is broken: it would fail on every picture.
        """
        loop = asyncio.get_running_loop()
        try:
            frames = await loop.run_in_executor(self._readers, self._frames, request.path)
        except UnreadablePicture as error:
            return VerdictReply(Checked(FilterDecision(None), broken=str(error)[:500]))
        except InputError as error:
            return self.failed(CallError("bad_request", error.what, status=_GONE))
        try:
            decisions = await self._decisions(frames, request.prompt)
        except (TimeoutError, OvertError):  # the caller handles these
            raise
        except Exception as error:  # a user's class; one bad picture must not end the run
            return self.failed(CallError(BROKEN_CLASS, raised(self._checker, error)))
        failed = next((decision for decision in decisions if decision.error is not None), None)
        return VerdictReply(Checked(storable(failed or worst(decisions))))

    def _frames(self, path: str) -> list[Picture]:
        return list(open_frames(self._load(path)))

    async def _decisions(self, frames: Iterable[Picture], prompt: str) -> list[FilterDecision]:
        if self._decide.takes_many:
            return list(await asyncio.gather(*(self._decision(frame, prompt) for frame in frames)))
        found = []
        for frame in frames:
            found.append(await self._decision(frame, prompt))
            if found[-1].error is not None:
                break
        return found

    def plain(self, request: Look) -> JsonObject:
        found: JsonObject = {"picture": request.picture, "version": self._version}
        return {**found, "prompt": request.prompt} if self._reads_prompt else found

    async def close(self) -> None:
        self._readers.shutdown(wait=False)
        await super().close()


def checks_of(
    caller: Caller,
    channel: CheckerChannel,
    purpose: str,
    *,
    hash_of: Callable[[str], str] = lambda path: PurePosixPath(path).stem,
) -> Callable[[Iterable[tuple[str, str]]], Iterator[Checked]]:
    """What a checker says of pictures and their prompts, through the caller.

    Args:
        hash_of: the hash of the picture at a path; pictures of a run bear theirs as their name.
    """
    caller.register(channel)

    def checks(rows: Iterable[tuple[str, str]]) -> Iterator[Checked]:
        jobs = ((None, Look(path, hash_of(path), prompt), "") for path, prompt in rows)
        for _, reply in caller.stream(channel, purpose, jobs):
            yield reply.checked

    return checks


@dataclass(frozen=True, slots=True)
class Given:
    """One answer for a filter, with the prompt that it answers."""

    prompt: str
    answer: str


class AnswerChannel(VerdictChannel):
    """The channel of a text filter that judges answers.

    Args:
        version, threads: as of `CheckerChannel`.
    """

    def __init__(self, judge: AnswerFilter, version: str, *, threads: int) -> None:
        decide = Decider(judge, threads=threads, local_threads=1, batch=_ANSWERS)
        super().__init__(judge, version, decide)
        self._judge = judge

    async def send(self, request: Given) -> VerdictReply:
        """Reads one answer.

        Raises:
            OvertError: the filter is broken: it would fail on every answer.
        """
        try:
            decision = await self._decision(request.prompt, request.answer)
        except (TimeoutError, OvertError):  # the caller handles these
            raise
        except Exception as error:  # a user's class; one bad answer must not end the run
            return self.failed(CallError(BROKEN_CLASS, raised(self._judge, error)))
        return VerdictReply(Checked(storable(decision)))

    def plain(self, request: Given) -> JsonObject:
        found: JsonObject = {"answer": request.answer, "version": self._version}
        return {**found, "prompt": request.prompt} if self._judge.reads_prompt else found


def answer_checks_of(caller: Caller, channel: AnswerChannel, purpose: str) -> AnswerChecks:
    """What a filter says of answers and their prompts, through the caller."""
    caller.register(channel)

    def checks(rows: Iterable[tuple[str, str]]) -> Iterator[FilterDecision]:
        jobs = ((None, Given(prompt, answer), "") for prompt, answer in rows)
        for _, reply in caller.stream(channel, purpose, jobs):
            yield reply.checked.decision

    return checks
