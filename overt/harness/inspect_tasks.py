"""The tasks for Inspect (UK AISI): `inspect eval overt/over_refusal -T dataset=runs/mine --model ...`.

Inspect imports this by the entry point `overt` of the group `inspect_ai`; the name must be the package's, or
it finds no task. `refusal` asks the prompts of both sides, as `overt run` does; `over_refusal` the benign
ones and `unsafe_refusal` the unsafe ones alone; and each suite is a task of its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inspect_ai import Task, task
from inspect_ai._util.error import PrerequisiteError  # Inspect prints its words alone, without a traceback
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.solver import generate

import overt
from overt.data.asked import check_extras, prompts_to_ask
from overt.data.errors import InputError, OvertError
from overt.data.prompts import Side
from overt.data.records import Prompt
from overt.data.results.summary import SIDES
from overt.data.secrets import without_keys
from overt.data.suites.load import list_suites, load_suite
from overt.harness.inspect_outputs import LOG_KEY, metadata_of
from overt.harness.inspect_scoring import refusal
from overt.policies.load import dump_policy, policy_of

Several = str | Sequence[str] | None  # Inspect makes a list of a value with commas
# As `overt run` asks; options of `inspect eval` go before them.
_CONFIG = GenerateConfig(temperature=0.0, max_tokens=512)


def _sides_task(sides: Sequence[Side], what: str) -> Callable[..., Task]:
    def sides_task(
        dataset: Several = None,
        suite: str | None = None,
        files: Several = None,
        label: Side | None = None,
        category: Several = None,
        limit: int | None = None,
        judge: str | None = None,
        policy: str | None = None,
    ) -> Task:
        return _made(sides, dataset, suite, files, label, category, limit, judge, policy)

    sides_task.__doc__ = f"""{what}

    Args:
        dataset: runs of `overt generate`, folders, CSV/JSONL/Parquet files (FILE:COLUMN), Hub ids.
        suite: a published suite for language models (`overt suites list`), or a YAML of your own.
        files: local files of the suite; without them it comes from the Hub.
        label: benign or unsafe, where the file does not say it.
        category: only these categories.
        limit: at most so many prompts of each label, evenly over the categories (`--limit` takes the first).
        judge: who tells refusals in words: judge/rules, module:Class, "grader" (`--model-role grader=MODEL`),
            or judge/PROVIDER/MODEL. Default: the suite's own, else judge/rules.
        policy: the policy that the prompts belong to. Default: the data set's own.
    """
    return sides_task


def _suite_task(name: str) -> Callable[..., Task]:
    def suite_task(
        files: Several = None,
        category: Several = None,
        limit: int | None = None,
        judge: str | None = None,
        policy: str | None = None,
    ) -> Task:
        return _made(SIDES, None, name, files, None, category, limit, judge, policy)

    suite_task.__doc__ = f"The suite {name}. Arguments: as `overt/refusal`."
    return suite_task


_MADE: dict[str, Callable[..., Task]] = {
    **{name: _suite_task(name) for name in list_suites() if load_suite(name).modality == "text"},
    "refusal": _sides_task(SIDES, "Over-refusal and unsafe refusal of a language model."),
    "over_refusal": _sides_task(("benign",), "Over-refusal of a language model: the benign prompts alone."),
    "unsafe_refusal": _sides_task(("unsafe",), "Refusal of the unsafe prompts alone."),
}
TASKS = {name: task(name=name)(made) for name, made in _MADE.items()}


# -- making one --------------------------------------------------------------------------------------------


def _made(
    sides: Sequence[Side],
    dataset: Several,
    suite: str | None,
    files: Several,
    label: Side | None,
    category: Several,
    limit: int | None,
    judge: str | None,
    policy: str | None,
) -> Task:
    """A task of these arguments.

    Raises:
        PrerequisiteError: what was wrong with them.
    """
    try:
        if (dataset is None) == (suite is None) or (files is not None and suite is None):
            raise InputError(
                "name the prompts: a data set or a suite (whose local files may be given)",
                fix="For instance: -T dataset=runs/mine, -T suite=xstest, -T suite=xstest -T files=x.csv",
            )
        sources = _list(dataset if suite is None else files)
        asked = prompts_to_ask(sources, suite=suite, label=label, category=_list(category), limit=limit)
        check_extras("this task, which asks texts alone,", (), asked.prompts)
        notes = list(asked.notes)
        prompts = _of_sides(asked.prompts, sides, ", ".join(sources) or suite or "")
        rules = policy_of(policy, sources, "text")
        if rules.modality != "text":
            notes.append("these prompts ask for pictures; what a model says is judged, not what it draws")
        judge = judge or (load_suite(suite).judge if suite is not None else "judge/rules")
        about = {
            "version": overt.__version__,
            "suite": suite,
            "dataset": [without_keys(source) for source in sources],
            "judge": without_keys(judge),
            "policy": dump_policy(rules),
            "notes": notes,
        }
        return Task(
            dataset=MemoryDataset(
                [_sample(prompt, suite or "") for prompt in prompts], name=suite or "overt"
            ),
            solver=generate(),
            scorer=refusal(judge),
            config=_CONFIG,
            # A failed request is a missing answer, which the metrics count, and no end of the evaluation.
            fail_on_error=False,
            score_on_error=True,
            version=1,
            metadata={LOG_KEY: about},
        )
    except OvertError as error:
        raise PrerequisiteError(error.message()) from error


def _of_sides(prompts: Sequence[Prompt], sides: Sequence[Side], where: str) -> list[Prompt]:
    of_these = [prompt for prompt in prompts if prompt.label in sides]
    if not of_these:
        raise InputError(
            f"no prompt of it is {sides[0]}",
            where=where,
            fix="The task overt/refusal asks the prompts of both sides.",
        )
    return of_these


def _sample(prompt: Prompt, suite: str) -> Sample:
    return Sample(
        input=prompt.text, target=prompt.label, id=prompt.id, metadata=dict(metadata_of(prompt, suite))
    )


def _list(value: Several) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(map(str, value))
