"""Results in the form of the Hub's `.eval_results/*.yaml`, by which they stand on the page of a model.

Fields: huggingface.co/docs/hub/eval-results and eval_results.yaml in github.com/huggingface/hub-docs. A file
belongs into the repository of the model, by a pull request or by its owner; `overt publish` puts it beside
the results and sends it to nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from overt.data.json_types import Json
from overt.data.prompts import Side
from overt.data.results.summary import Rate, TargetSummary
from overt.data.text import interval, percent
from overt.publish.benchmark import TASKS, Task, dump_yaml
from overt.publish.card import one_line
from overt.publish.tables import whole
from overt.scoring.summary.metrics import METRICS, rate_of

FOLDER = "eval_results"
_HEAD = "# For the repository of {model}, as {there}: https://huggingface.co/docs/hub/eval-results\n"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The data set that was asked. `datasets` has the Hub id of each side. Tasks of a published suite carry
    its name, since several suites may stand in one data set."""

    name: str
    datasets: Mapping[Side, str]
    suite: str = ""

    def task_id(self, task: Task) -> str:
        return f"{self.suite}_{task.id}" if self.suite else task.id


@dataclass(frozen=True, slots=True)
class ModelPage:
    """A file for the repository of `model`: `file` in ours, `there` in that one."""

    model: str
    file: str
    there: str
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where results come from: the `date` of the run, YYYY-MM-DD, the address of the data set with all
    answers, the confidence level as a fraction, and how it was asked, in words."""

    date: str
    address: str
    level: float
    setup: tuple[str, ...] = ()


def page_of(model: str, target: TargetSummary, benchmark: Benchmark, source: Source) -> ModelPage | None:
    """The file of one model; None where no side of the benchmark was answered.

    Args:
        model: its id on the Hub.
    """
    entries: list[Json] = []
    for task in TASKS:
        rate = rate_of(target, target, task.metric)
        if rate is not None and rate.n and task.side in benchmark.datasets:
            entries.append(_entry(task, rate, benchmark, source))
    if not entries:
        return None
    there = f".eval_results/overt-{benchmark.name}.yaml"
    text = _HEAD.format(model=model, there=there) + dump_yaml(whole(entries))
    return ModelPage(model, f"{FOLDER}/{model}.yaml", there, text)


def _entry(task: Task, rate: Rate, benchmark: Benchmark, source: Source) -> dict[str, Json]:
    metric = METRICS[task.metric]
    limits = f"{100 * source.level:g}% interval {interval(rate)}"
    notes = (
        f"{metric.title.lower()} {percent(rate.rate)} ({rate.k} of {rate.n} {metric.counts}; {limits})",
        *source.setup,
    )
    return {
        "dataset": {"id": benchmark.datasets[task.side], "task_id": benchmark.task_id(task)},
        "value": round(task.value(rate), 4),
        "date": source.date,
        "source": {"url": source.address, "name": "overt, answer by answer", "user": _owner(source.address)},
        "notes": one_line("; ".join(notes)),
    }


def _owner(address: str) -> str:
    return address.rstrip("/").rsplit("/", 2)[-2]
