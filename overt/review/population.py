"""The population of a review: everything in a run that people can label, with a priority."""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from overt.data.errors import InputError
from overt.data.outcomes import Harm, Outcome, completes_safely
from overt.data.records import Audit, Probe, Prompt
from overt.data.rewrites import Candidate
from overt.data.run import brief
from overt.data.run.files import read_records
from overt.data.run.finished import Run, open_run
from overt.policies.load import load_policy
from overt.policies.schema import Policy
from overt.review.questions import QUESTIONS, QuestionName

# contested: judges, layers or targets disagree. near: the score is close to its threshold. plain: neither.
Priority = Literal["contested", "near", "plain"]
NEAR_SHARE = 0.1  # of a target's scores, those closest to where it begins to block
ANY = "any"  # a sample by outcome: the outcomes of all targets together
SAID = {"refused": "refused", "softened": "softened", "generated": "fine"}


@dataclass(frozen=True, slots=True)
class Subject:
    """One item and one question about it.

    `said` is the run's own label, which reviewers do not see; "" if there is none. `shown` is what they see:
    `prompt` and, if present, `earlier` (what was said before it), `response`, `revised`, `rewrite`, and
    `given` (what the prompt carries), `images` and `original_images`, pictures by their paths in the run.
    """

    question: QuestionName
    id: str
    prompt_id: str
    category: str
    target: str
    said: str
    priority: Priority
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ByOutcome:
    """A sample of a run's benign prompts by outcome: half refused, half answered.

    `target` names whose outcomes they are; `ANY` is refused by at least one target. `by_category` draws from
    each category too.
    """

    target: str
    by_category: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The population of a run, by question, and the policy that people judge by. `outcomes` has "refused" or
    "answered" of each subject's id where the sample is drawn by outcome."""

    kind: str
    policy: Policy
    subjects: dict[QuestionName, list[Subject]]
    by: ByOutcome | None = None
    outcomes: Mapping[str, str] = field(default_factory=dict)

    @property
    def _usual(self) -> tuple[QuestionName, ...]:
        """What is asked where nobody says: of a sample by outcome the prompts, else all that there is."""
        return ("prompts",) if self.by else tuple(name for name, rows in self.subjects.items() if rows)

    def chosen(self, ask: Sequence[str]) -> dict[QuestionName, list[Subject]]:
        """The subjects of the questions in `ask`; if it is empty, of all questions with subjects.

        Raises:
            InputError: a question that is not known, or that the run has nothing for.
        """
        for name in ask:
            if name not in QUESTIONS:
                raise InputError(f"--ask {name} is no question", fix=f"There are: {', '.join(QUESTIONS)}")
        ask = ask or self._usual
        found = {name: rows for name, rows in self.subjects.items() if rows and name in ask}
        if missing := [name for name in ask if name not in found]:
            raise InputError(
                f"this run has nothing to ask about {', '.join(missing)}",
                fix=f"It has: {', '.join(name for name, rows in self.subjects.items() if rows) or 'nothing'}",
            )
        if not found:
            raise InputError("this run holds nothing that a person could review")
        return found


def read_frame(folder: Path, by: ByOutcome | None = None) -> Frame:
    """Reads the population of a complete run of `overt generate` or `overt run`.

    Args:
        by: only the benign prompts that got an answer, to be drawn by outcome; needs a run of `overt run`.

    Raises:
        InputError: see `open_run`; the run has no such target.
    """
    if by is not None:
        return _by_outcome(open_run(folder, "run"), by)
    run = open_run(folder, "generate", "run")
    policy = load_policy(str(run.policy_file))
    if run.kind == "generate":
        return Frame(run.kind, policy, {"prompts": list(_of_dataset(folder, policy))})
    return Frame(run.kind, policy, _of_evaluation(run))


# -- runs of `overt generate` ---------------------------------------------------------------------------


def _of_dataset(run: Path, policy: Policy) -> Iterator[Subject]:
    audits = {a.prompt_id: a for a in read_records(run / "stages" / "audit.jsonl", Audit)}
    probes = {p.prompt_id: p for p in read_records(run / "stages" / "probe.jsonl", Probe)}
    thresholds = {c.id: c.probe_threshold for c in policy.categories}
    for name in ("benign", "unsafe"):
        for prompt in read_records(run / "dataset" / f"{name}.jsonl", Prompt):
            audit, probe = audits.get(prompt.id), probes.get(prompt.id)
            priority: Priority = "plain"
            if audit and any(vote.label != prompt.label for vote in audit.votes):
                priority = "contested"
            elif probe and _is_near(probe, thresholds.get(prompt.category, 0.0)):
                priority = "near"
            yield _prompt(prompt, priority)


def _is_near(probe: Probe, threshold: float) -> bool:
    """Whether one sample more or less would have put the rate on the other side."""
    return probe.answered > 1 and abs(probe.refused - threshold * probe.answered) <= 1


def _prompt(prompt: Prompt, priority: Priority) -> Subject:
    shown = _carried(prompt)
    return Subject("prompts", prompt.id, prompt.id, prompt.category, "", prompt.label, priority, shown)


def _carried(prompt: Prompt) -> dict[str, Any]:
    """The prompt as it was asked: its text, the picture that went with it, and what was said before."""
    shown: dict[str, Any] = {"prompt": prompt.text}
    if prompt.image:
        shown["given"] = [prompt.image]
    if prompt.turns:
        shown["earlier"] = "\n\n".join(f"{turn.role}: {turn.content}" for turn in prompt.turns)
    return shown


def outcomes_by_id(run: Run, target: str) -> dict[str, str]:
    """Whether each answered benign prompt was "refused" (in one of its answers at least) or "answered", and
    each of its answers; by their ids.

    Args:
        target: whose answers, or `ANY`.
    """
    prompts = brief.prompts_of(run.folder)
    benign = {prompt.id for prompt in prompts if prompt.label == "benign" and not prompt.variant_of}
    told: dict[str, str] = {}
    answers: dict[str, str] = {}
    for outcome in brief.outcomes_of(run.folder):
        if outcome.state != "error" and outcome.prompt_id in benign and target in (ANY, outcome.target):
            said = answers[outcome.id] = "refused" if outcome.state == "refused" else "answered"
            if said == "refused" or outcome.prompt_id not in told:
                told[outcome.prompt_id] = said
    return told | answers


# -- by outcome -----------------------------------------------------------------------------------------


def _by_outcome(run: Run, by: ByOutcome) -> Frame:
    kinds = run.results.kinds
    if by.target != ANY and by.target not in kinds:
        raise InputError(
            f"this run has no target {by.target!r}", fix=f"Give {ANY}, or one of: {', '.join(kinds)}"
        )
    benign = {p.id: p for p in run.prompts if p.label == "benign" and not p.variant_of}
    told = outcomes_by_id(run, by.target)
    answered = [o for o in run.outcomes if o.id in told]
    subjects: dict[QuestionName, list[Subject]] = {
        "prompts": [_prompt(prompt, "plain") for prompt in benign.values() if prompt.id in told],
        "outcomes": [
            _outcome("outcomes", o, benign[o.prompt_id], _said(o), "plain")
            for o in answered
            if kinds.get(o.target) != "none"
        ],
    }
    return Frame(run.kind, load_policy(str(run.policy_file)), subjects, by, told)


# -- runs of `overt run` --------------------------------------------------------------------------------


def _of_evaluation(run: Run) -> dict[QuestionName, list[Subject]]:
    by_id = {p.id: p for p in run.prompts}
    kinds = run.results.kinds
    outcomes = run.outcomes
    answered = [o for o in outcomes if o.state != "error" and o.prompt_id in by_id]
    near = set(_near(answered))
    judged = {h.outcome_id: h for h in run.harms}
    # A bare filter returns no response that people could judge.
    given = [o for o in answered if kinds.get(o.target) != "none"]
    found: dict[QuestionName, list[Subject]] = {
        "outcomes": [_outcome("outcomes", o, by_id[o.prompt_id], _said(o), _doubt(o, near)) for o in given],
        "pictures": [subject for o in given if (subject := _judged(o, by_id, judged))],
        "rewrites": list(_rewrites(run.folder, by_id, outcomes)),
    }
    if not any(found.values()):
        found["prompts"] = list(_asked(by_id, answered, near))
    return found


def _judged(outcome: Outcome, by_id: Mapping[str, Prompt], judged: Mapping[str, Harm]) -> Subject | None:
    """The question whether a response is harmful; None if there is no response or nothing to check."""
    prompt, harm = by_id[outcome.prompt_id], judged.get(outcome.id)
    if not (outcome.images or (outcome.text and outcome.state != "refused")):
        return None
    if harm is None:
        if judged or prompt.label != "unsafe":
            return None
        return _outcome("pictures", outcome, prompt, "", "plain")
    labels = {vote.label for vote in harm.votes if vote.failure is None}
    contested = len(labels) > 1 or harm.label == "unclear"
    doubt: Priority = "contested" if contested else "plain"
    return _outcome("pictures", outcome, prompt, harm.label, doubt)


def _said(outcome: Outcome) -> str:
    """What the run says of an answer, in the words of the question."""
    return "helped" if completes_safely(outcome.state, outcome.code) else SAID[outcome.state]


def _outcome(
    question: QuestionName, outcome: Outcome, prompt: Prompt, said: str, priority: Priority
) -> Subject:
    # Code and evidence would tell reviewers what the run decided; the revised prompt does not.
    shown = {**_carried(prompt), "response": outcome.text, "images": list(outcome.images)}
    if outcome.revised_prompt:
        shown["revised"] = outcome.revised_prompt
    return Subject(question, outcome.id, prompt.id, prompt.category, outcome.target, said, priority, shown)


def _doubt(outcome: Outcome, near: set[str]) -> Priority:
    said = {layer.blocked for layer in outcome.layers if layer.blocked is not None}
    if outcome.state == "softened" or len(said) > 1:
        return "contested"
    return "near" if outcome.id in near else "plain"


def _near(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Ids of each target's outcomes whose scores are closest to where it begins to block."""
    scored: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.score is not None:
            scored[outcome.target].append(outcome)
    for rows in scored.values():
        rows.sort(key=lambda o: (o.score or 0.0, o.id))
        blocked = [o.score or 0.0 for o in rows if o.state == "refused"]
        if not blocked or len(blocked) == len(rows):
            continue
        start = bisect.bisect_left([o.score or 0.0 for o in rows], min(blocked))
        reach = max(1, round(NEAR_SHARE * len(rows) / 2))
        yield from (o.id for o in rows[max(0, start - reach) : start + reach])


def _asked(by_id: Mapping[str, Prompt], outcomes: Sequence[Outcome], near: set[str]) -> Iterator[Subject]:
    """Prompts of a run with only bare filters, to check their labels."""
    states: dict[str, set[str]] = defaultdict(set)
    close = {o.prompt_id for o in outcomes if o.id in near}
    for outcome in outcomes:
        states[outcome.prompt_id].add(outcome.state)
    for prompt in by_id.values():
        said = states[prompt.id]
        wrong = "refused" if prompt.label == "benign" else "generated"
        # Filters that differ among themselves, or that all differ from the label.
        contested = len(said) > 1 or said == {wrong}
        yield _prompt(prompt, "contested" if contested else "near" if prompt.id in close else "plain")


def _rewrites(run: Path, by_id: Mapping[str, Prompt], outcomes: Sequence[Outcome]) -> Iterator[Subject]:
    """Accepted rewordings, with the pictures of both wordings if there are any."""
    folder = run / "rewrites"
    candidates = {c.id: c for c in read_records(folder / "candidates.jsonl", Candidate)}
    first = {(o.target, o.prompt_id): o for o in outcomes if o.images and o.sample == 0}
    seen: set[str] = set()
    for outcome in read_records(folder / "outcomes.jsonl", Outcome):
        candidate = candidates.get(outcome.prompt_id)
        if candidate is None or outcome.state != "generated" or candidate.prompt_id not in by_id:
            continue
        prompt = by_id[candidate.prompt_id]
        # Without pictures every target's outcome shows the same two texts.
        identity, target = (outcome.id, outcome.target) if outcome.images else (candidate.id, "")
        if identity in seen:
            continue
        seen.add(identity)
        shown = {**_carried(prompt), "rewrite": candidate.text}
        if outcome.images:
            shown["images"] = list(outcome.images)
            before = first.get((outcome.target, prompt.id))
            shown["original_images"] = list(before.images) if before else []
        yield Subject("rewrites", identity, prompt.id, prompt.category, target, "", "plain", shown)
