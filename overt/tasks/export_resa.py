"""`overt export --format resa`: the stages of answer-then-check over the prompts of an export, in order.

    answers as of any format, outlines -> summary -> guard -> analysis -> contradiction -> ending -> rows

What each stage drops is counted with its reason. overt/tasks/export_resa_card.py says it on the card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from overt import registry
from overt.data.answer_plans import Plan, Stage
from overt.data.answer_then_check import Checked, read_checked, written
from overt.data.chat import Ask
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.records import Drop, Failure, to_json
from overt.data.refusal_judges import RefusalLabel
from overt.data.text import plain
from overt.data.training import AnswerKind, Placed, TrainingRow
from overt.generation.resa.checks import ANALYSIS, analyse
from overt.generation.resa.endings import ENDING, complete_safely, end, is_to_help
from overt.generation.resa.plans import OUTLINE, SUMMARY, outline, summarise
from overt.generation.resa.rows import RESA_COLUMNS, checked_row, direct_row, subset
from overt.policies.floor import floor_reason
from overt.policies.schema import Policy
from overt.scoring.answer_forms import answer_forms, form_of
from overt.scoring.plans import CONTRADICTION, GUARD, drop_contradictions, guard_by_filter, guard_by_model
from overt.tasks.export_answers import answered, template_names
from overt.tasks.export_config import ExportConfig
from overt.tasks.export_making import Made, Making
from overt.tasks.export_plain import check_plain, plain_examples
from overt.tasks.export_resa_card import said_of, who_of
from overt.tasks.export_resa_config import NO_GUARD
from overt.tasks.verdicts import open_answer_checks

SUBSET = "subset"  # the stage's name

_TEMPLATES = (
    "plan_outline",
    "plan_summary",
    "check_benign",
    "check_unsafe",
    "safe_completion",
    "scoring/plan_guard",
    "scoring/plan_contradiction",
)


def resa_templates(config: ExportConfig, modality: str) -> Sequence[str]:
    """The templates that an export uses."""
    return [*template_names(config, modality).values(), *_TEMPLATES]


def check_resa(config: ExportConfig, placed: Sequence[Placed], policy: Policy) -> None:
    """
    Raises:
        InputError: no guard was named, or no chat model for the stages; or a name of --safe-completion is no
            category of the policy.
    """
    if config.guard is None:
        raise InputError(
            "--format resa needs a guard, which drops prompts whose intended answer is on the wrong side",
            fix="Name a chat model or a text filter: --guard openai/MODEL, --guard filter/guard/REPO. "
            "--guard none leaves it out, and the card says so.",
        )
    if not analyst_of(config):
        raise InputError(
            "nothing says which chat model summarises and checks the answers",
            fix="Name it: --analyst PROVIDER/MODEL. It is the model of --answers by default.",
        )
    known = {category.id for category in policy.categories}
    for name in config.safe_completion:
        if name not in known:
            raise InputError(
                f"--safe-completion names {plain(name)!r}, which is no category of the policy",
                fix=f"It has: {', '.join(sorted(known))}",
            )
    check_plain(config)


def analyst_of(config: ExportConfig) -> str:
    """The chat model that summarises and checks; "" if none was named."""
    return config.analyst or config.model or ""


def make_resa(making: Making) -> Made:
    """Makes the rows.

    Raises:
        InputError: a model cannot be opened.
        RunError, BudgetReached: the caller stopped.
    """
    config = making.config
    by_id = {plan.prompt.id: plan for plan in _through(making, _intended(making))}
    rows = [checked_row(plan) for plan in by_id.values()]
    if config.subset is not None:
        rows = _drawn(making, rows, config.subset)
    plans = [by_id[str(row.more["id"])] for row in rows]
    codes = [form_of(written(plan.parts), _LABELS[plan.kind]) for plan in plans]
    forms = answer_forms(codes, [plan.prompt.cluster for plan in plans])
    direct = [direct_row(example) for example in plain_examples(making)]
    facts: dict[str, Json] = {"forms": to_json(forms), "plain": len(direct), "guard": config.guard}
    said = said_of(plans, forms, len(direct))
    return Made([*rows, *direct], {}, said, RESA_COLUMNS, facts, who_of(making))


def _drawn(making: Making, rows: Sequence[TrainingRow], most: int) -> list[TrainingRow]:
    """The rows of --subset, with the others counted."""
    kept = subset(rows, most, making.config.seed)
    left = {str(row.more["id"]) for row in kept}
    for row in rows:
        name, category = str(row.more["id"]), str(row.more["category"])
        making.passes(SUBSET, name, category, "" if name in left else "not drawn")
    return kept


# What a judge has said of final answers, by their kind.
_LABELS: Mapping[AnswerKind, RefusalLabel] = {
    "answer": "compliance",
    "refusal": "full_refusal",
    "safe_completion": "safe_completion",
}


# -- the stages ------------------------------------------------------------------------------------------


def _intended(making: Making) -> list[Plan]:
    """The prompts with their intended answers, in the order of the data set."""
    config = making.config
    benign = [one for one in making.placed if one.prompt.label == "benign"]
    unsafe = [Plan(one) for one in making.placed if one.prompt.label == "unsafe"]
    by_id = {one.prompt.id: one for one in benign}
    plans = [
        Plan(by_id[e.prompt.id], intended=e.answer, planned_by=e.answer_by) for e in answered(making, benign)
    ]
    if unsafe:
        ask = making.ask(config.intended or analyst_of(config), OUTLINE, "intended")
        template = making.template("plan_outline")

        def outlined(todo: Iterable[Plan]) -> Iterator[Plan | Drop | Failure]:
            found = outline(todo, ask=ask, template=template, seed=config.seed)
            return _judged(making, list(found), OUTLINE, lambda plan: plan.intended, _NO_OUTLINE)

        plans += _ran(making, OUTLINE, unsafe, outlined)
    places = {one.prompt.id: number for number, one in enumerate(making.placed)}
    return sorted(plans, key=lambda plan: places[plan.prompt.id])


def _through(making: Making, plans: list[Plan]) -> list[Plan]:
    """What is left of plans when all stages are through."""
    policy, seed, template = making.policy, making.config.seed, making.template
    if not plans:
        return []
    analyst = making.asker(analyst_of(making.config), "analyst")
    summary, second = template("plan_summary"), template("scoring/plan_contradiction")
    benign, unsafe = template("check_benign"), template("check_unsafe")
    stages: list[tuple[str, Stage | None]] = [
        (SUMMARY, lambda todo: summarise(todo, ask=analyst(SUMMARY), template=summary, seed=seed)),
        (GUARD, _guard(making)),
        (
            ANALYSIS,
            lambda todo: analyse(
                todo, policy, ask=analyst(ANALYSIS), benign=benign, unsafe=unsafe, seed=seed
            ),
        ),
        (
            CONTRADICTION,
            lambda todo: drop_contradictions(todo, ask=analyst(CONTRADICTION), template=second, seed=seed),
        ),
        (ENDING, lambda todo: _ended(making, list(todo), analyst)),
    ]
    for name, stage in stages:
        if stage is not None:
            plans = _ran(making, name, plans, stage)
    return plans


def _ran(making: Making, name: str, plans: list[Plan], stage: Stage) -> list[Plan]:
    """Runs one stage, and counts what it drops."""
    kept = []
    for plan in plans:
        making.counts.enter(name, plan.placed.category)
    with making.work.stage(name, len(plans)) as advance:
        for found in stage(plans):
            advance(1)
            if isinstance(found, Plan):
                making.counts.leave(name, found.placed.category)
                kept.append(found)
            else:
                making.lose(found)
    return kept


def _guard(making: Making) -> Stage | None:
    """The guard's stage; None where it is left out.

    Raises:
        InputError: the guard cannot be opened, or judges no answers.
    """
    name, config = making.config.guard or NO_GUARD, making.config
    if name == NO_GUARD:
        return None
    if registry.is_filter(name):
        text_filter = registry.load_filter(
            name, device=config.device, batch_size=making.models.batch_size, timeout=config.timeout
        )
        checks = open_answer_checks(making.work.caller, name, text_filter, GUARD)
        return lambda plans: guard_by_filter(plans, text_filter, checks)
    ask, template = making.ask(name, GUARD, "guard"), making.template("scoring/plan_guard")
    return lambda plans: guard_by_model(plans, making.policy, ask=ask, template=template, seed=config.seed)


def _ended(making: Making, plans: list[Plan], ask: Callable[[str], Ask]) -> Iterator[Plan | Drop | Failure]:
    """Yields the plans with their final answers, but for those that the floor forbids."""
    helped = _helped(making, [plan for plan in plans if _is_to_help(making, plan)], ask)
    for plan in plans:
        ended = next(helped) if _is_to_help(making, plan) else end(plan)
        yield _storable(ended) if isinstance(ended, Plan) else ended


def _storable(plan: Plan) -> Plan | Drop:
    """A plan whose row may be written, else a drop without its text."""
    text = written(plan.parts)
    reason = ""
    if floor_reason(text):
        reason = "floor"
    elif not isinstance(read_checked(text), Checked):  # an answer with tags of its own
        reason = "its answer would break the format"
    return Drop(plan.prompt.id, ENDING, plan.placed.category, reason) if reason else plan


def _is_to_help(making: Making, plan: Plan) -> bool:
    return is_to_help(plan, frozenset(making.config.safe_completion))


def _helped(making: Making, plans: list[Plan], ask: Callable[[str], Ask]) -> Iterator[Plan | Drop | Failure]:
    """Yields plans with their safe completions, but for those that a judge takes for something else."""
    if not plans:
        return iter(())
    template = making.template("safe_completion")
    found = complete_safely(plans, making.policy, ask=ask(ENDING), template=template, seed=making.config.seed)
    return _judged(making, list(found), ENDING, lambda plan: plan.final, _NO_COMPLETION)


# By what a judge says of a text, why it is not what was wanted.
_NO_OUTLINE: Mapping[RefusalLabel, str] = {"full_refusal": "the model declined to plan an answer"}
_NO_COMPLETION: Mapping[RefusalLabel, str] = {
    "compliance": "the safe completion gives what was asked for",
    "partial_refusal": "the safe completion gives a part of what was asked for",
    "unclear": "the judge could not tell whether the safe completion declines",
}


def _judged(
    making: Making,
    found: list[Plan | Drop | Failure],
    stage: str,
    text: Callable[[Plan], str],
    wrong: Mapping[RefusalLabel, str],
) -> Iterator[Plan | Drop | Failure]:
    """Yields what was found, and a drop in the place of plans with a text that a judge calls wrong."""
    verdicts = making.judging()(
        (plan.prompt.judged_text, text(plan)) for plan in found if isinstance(plan, Plan)
    )
    for one in found:
        reason = wrong.get(next(verdicts).label) if isinstance(one, Plan) else None
        yield one.lost(stage, reason) if reason and isinstance(one, Plan) else one
