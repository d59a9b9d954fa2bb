"""Which targets of a run are models with a repository on the Hub, and which benchmark they were asked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from overt import registry
from overt.data.errors import InputError
from overt.data.hub import is_hub_id
from overt.data.json_types import texts_of
from overt.data.prompts import Side
from overt.data.results.summary import SIDES, Summary
from overt.data.run.finished import Run
from overt.data.run.record import RunRecord
from overt.data.suites.load import suite_of_run
from overt.data.suites.schema import Part, Suite
from overt.data.tables.sources import parse_source
from overt.publish.model_results import Benchmark, ModelPage, Source, page_of
from overt.tasks.targets import TargetSpec, specs_from_json

_PROVIDERS = ("hf", "diffusers")  # whose models are named by their repository on the Hub
_OTHER_MODEL = {"lora", "transformer"}  # options by which it is no longer that repository's model
_FORM = "For instance: --benchmark my-org/news, --benchmark unsafe=my-org/news-unsafe"


def unsafe_of(repo: str) -> str:
    """The repository where `overt publish` puts what is unsafe."""
    return f"{repo}-unsafe"


def model_pages(
    run: Run, summary: Summary, benchmark: Sequence[str], source: Source
) -> tuple[list[ModelPage], list[str]]:
    """The files for the pages of a run's models, and notes on what has none and why.

    Args:
        benchmark: ids of the data set, as `--benchmark` takes them.

    Raises:
        InputError: --benchmark cannot be read.
    """
    named = _named(benchmark)
    models, notes = _models(run.record)
    if not models:
        return [], notes
    asked = _whole(run.record) or named or _asked(run.record)
    if isinstance(asked, str):
        named_models = ", ".join(sorted(model.id for model in models.values()))
        return [], [*notes, f"no results for the page of {named_models}: {asked}"]
    pages = []
    for target in summary.targets:
        model = models.get(target.name)
        if model is None:
            continue
        if target.name in run.results.below_coverage:
            notes.append(f"no results for the page of {model.id}: too few prompts were answered")
            continue
        options = (f"asked with {model.options}",) if model.options else ()
        mine = dataclasses.replace(source, setup=(*options, *source.setup))
        if page := page_of(model.id, target, asked, mine):
            pages.append(page)
    return pages, notes


# -- the models -------------------------------------------------------------------------------------------


def _models(record: RunRecord) -> tuple[dict[str, _Model], list[str]]:
    """Name of a target -> its model, and notes on the targets that are more than a model of the Hub."""
    found = [
        (spec.name, _model(spec)) for spec in specs_from_json(record.inputs.get("targets")) if spec.target
    ]
    models = {name: model for name, model in found if model is not None}
    times = Counter(model.id for model in models.values())
    notes = []
    for name, model in list(models.items()):
        if why := model.why or ("it was asked in several ways" if times[model.id] > 1 else ""):
            notes.append(f"no results for the page of {model.id}: {why}")
            del models[name]
    return models, list(dict.fromkeys(notes))


@dataclass(frozen=True, slots=True)
class _Model:
    """A model of the Hub by its id, the options it was asked with, and why a target's results are not those
    of the model ("" if they are)."""

    id: str
    options: str = ""
    why: str = ""


def _model(spec: TargetSpec) -> _Model | None:
    """The model of a target; None if the Hub has none of its name."""
    name = registry.parse("overt.targets", spec.target or "")
    if name.provider not in _PROVIDERS or not is_hub_id(name.model) or name.model in spec.files:
        return None
    why = f"{spec.name} is a product, with filters or checkers around it" if spec.is_composed else ""
    if others := sorted(_OTHER_MODEL & set(name.options)):
        why = f"{spec.name} is another model, with {' and '.join(others)}"
    return _Model(name.model, " ".join(f"{key}={value}" for key, value in name.options.items()), why)


# -- the benchmark ----------------------------------------------------------------------------------------


def _named(given: Sequence[str]) -> Benchmark | None:
    """The benchmark of --benchmark.

    Raises:
        InputError: a value is no [LABEL=]ORG/NAME.
    """
    datasets: dict[Side, str] = {}
    for one in given:
        label, equals, repo = one.rpartition("=")
        side = next((side for side in SIDES if side == label), None)
        if not is_hub_id(repo) or (equals and side is None):
            raise InputError(f"--benchmark {one!r} is no [benign=|unsafe=]ORG/NAME", fix=_FORM)
        if side is not None:
            datasets[side] = repo
        else:
            datasets = {"benign": repo, "unsafe": unsafe_of(repo), **datasets}
    if not datasets:
        return None
    first = datasets.get("benign") or datasets["unsafe"]
    return Benchmark(first.partition("/")[2], datasets)


def _whole(record: RunRecord) -> str:
    """Why a run's rates are not those of its whole data set; "" if they are."""
    parts = [
        f"{flag} {value}"
        for flag, value in (("--limit", record.value("limit")), ("--category", record.value("category")))
        if value
    ]
    return f"only a part of the data set was asked ({', '.join(parts)})" if parts else ""


def _asked(record: RunRecord) -> Benchmark | str:
    """The data set on the Hub that a run asked, or why there is none."""
    sources = tuple(texts_of(record.value("dataset")))
    suite = record.value("suite")
    if suite:
        return _of_suite(str(suite), sources)
    repos = list(dict.fromkeys(_hub_id(source) for source in sources))
    if repos == [""] or not repos:
        return "the data set was read from files. If it is on the Hub: --benchmark ORG/NAME"
    if len(repos) == 1:
        return Benchmark(repos[0].partition("/")[2], dict.fromkeys(SIDES, repos[0]))
    first = min(repos, key=len)
    if set(repos) == {first, unsafe_of(first)} and first:
        return Benchmark(first.partition("/")[2], {"benign": first, "unsafe": unsafe_of(first)})
    return "several data sets were asked together. If they are one benchmark: --benchmark ORG/NAME"


def _hub_id(source: str) -> str:
    """The id of a data set on the Hub; "" for a file, also one that is gone."""
    try:
        parsed = parse_source(source)
    except InputError:
        return ""
    return parsed.repo if parsed.path is None else ""


def _of_suite(name: str, files: Sequence[str]) -> Benchmark | str:
    suite = suite_of_run(name)
    if suite is None:
        return f"the file of the suite {name} is no longer there"
    datasets = {side: repo for side in SIDES if (repo := _repo(suite, side, files))}
    if not datasets:
        return f"{suite.title} stands in no single data set of the Hub, or only a part of it was asked"
    return Benchmark(suite.name, datasets, suite.name)


def _repo(suite: Suite, side: Side, files: Sequence[str]) -> str:
    """The one data set on the Hub that has a suite's prompts of a side; "" if there is none, or if the files
    that were read may be only a part of them."""
    parts = [part for part in suite.parts if side in _sides(part)]
    repos = {part.hub or "" for part in parts}
    if len(repos) != 1 or (files and len(parts) > 1):
        return ""
    return repos.pop()


def _sides(part: Part) -> Iterator[str]:
    return iter((part.label,) if isinstance(part.label, str) else part.label.values.values())


# -- how it was asked -------------------------------------------------------------------------------------


def setup_of(record: RunRecord, judge: str) -> tuple[str, ...]:
    """How a run asked, in words that a reader of a leaderboard needs.

    Args:
        judge: who told refusals in words; "" for nobody.
    """
    samples = record.value("samples")
    facts = (
        f"refusals told by {judge}" if judge else "",
        "with a system prompt" if record.value("system") else "",
        f"{samples} draws a prompt" if isinstance(samples, int) and samples > 1 else "",
        f"policy {record.policy.name} {record.policy.version} (hash {record.policy.hash})",
        f"overt {record.overt}",
    )
    return tuple(filter(None, facts))
