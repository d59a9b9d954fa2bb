"""`overt suites`: list the shipped suites of text, of pictures and of many turns, show one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from overt.cli.completion import completer
from overt.cli.tables import print_json, print_text

if TYPE_CHECKING:
    from overt.data.suites.episodes.load import EpisodeSuite
    from overt.data.suites.schema import Pairs, Part, Suite

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
    A suite says where its prompts are, what its columns mean, which are safe and which unsafe, who judges
    the answers and how the authors want to be cited. It is a YAML file, so that one of yours needs no code:

        overt suites list

        overt suites show xstest

        overt run --suite xstest --target openai/MODEL --out runs/xstest

        overt run --suite overt-mini --target openai/gpt-image-1 --out runs/overt-mini

    In a suite of many turns an environment and the target take turns: its YAML names the environment, its
    settings and its caps.
    """,
)


@app.command("list")
def list_all(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Name, prompts, licence and purpose of every shipped suite, those of text before those of pictures and
    those of many turns.

    For instance:

        overt suites list

        overt suites list --json | jq '.[].name'
    """
    from overt.data.suites.episodes.load import find_episode_suite, list_episode_suites
    from overt.data.suites.load import list_suites, load_suite

    suites = [load_suite(name) for name in list_suites()]
    played = [one for name in list_episode_suites() if (one := find_episode_suite(name))]
    if as_json:
        print_json([*map(_data, suites), *map(_data, played)])
        return
    for modality, asks_for in _ASKS_FOR.items():
        print_text(f"Suites that ask for {asks_for}:\n\n")
        for suite in (suite for suite in suites if suite.modality == modality):
            _print_entry(suite.name, _headline(suite), suite.measures)
        print()
    if played:
        print_text("Suites of many turns:\n\n")
        for one in played:
            _print_entry(one.name, _headline_played(one), one.measures)
        print()
    print("More of one: overt suites show NAME")


def _print_entry(name: str, headline: list[str], measures: str) -> None:
    import shutil

    room = max(shutil.get_terminal_size().columns - 4, 30)
    print_text(f"{name}  ({', '.join(headline)})\n")
    print_text(f"    {measures if len(measures) <= room else measures[: room - 3] + '...'}\n")


def _headline_played(suite: EpisodeSuite) -> list[str]:
    turns = f"up to {suite.turns:,} turns"
    trials = [f"{suite.trials:,} trials of each task"] if suite.trials > 1 else []
    return [turns, *trials, *([suite.licence] if suite.licence else [])]


_ASKS_FOR = {"text": "an answer in text", "image": "a picture"}


def _headline(suite: Suite) -> list[str]:
    rows = [f"{suite.rows:,} prompts"] if suite.rows else []
    gate = ["asks for access"] if suite.gated else []
    carried = [f"each with {what}" for what in _carried(suite)]
    return [*rows, *carried, suite.licence, *gate, *(["labels disputed"] if suite.disputed else [])]


def _carried(suite: Suite) -> list[str]:
    """What its prompts carry besides their text."""
    there = {"a picture": suite.columns.image, "earlier turns": suite.columns.turns}
    return [what for what, columns in there.items() if columns]


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A shipped suite, or the path of a YAML file.", autocompletion=completer("suite of any kind")
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """What a suite measures, where its prompts come from, how access is had, what to cite; of one of many
    turns its environment, settings and players.

    For instance:

        overt suites show sorry_bench

        overt suites show mine.yaml --json
    """
    from overt.data.suites.episodes.load import find_episode_suite
    from overt.data.suites.load import load_suite

    if played := find_episode_suite(name):
        _show_played(played, name, as_json=as_json)
        return
    suite = load_suite(name)
    if as_json:
        print_json(_data(suite))
        return
    columns = suite.columns.model_dump()
    lines = [
        f"{suite.name}: {suite.title}, hash {suite.hash}",
        suite.measures,
        *([f"labels disputed: {suite.disputed}"] if suite.disputed else []),
        "",
        f"asks for: {_ASKS_FOR[suite.modality]}",
        *(f"goes with each text: {what}" for what in _carried(suite)),
        *(f"part {part.name}: {_part(part)}" for part in suite.parts),
        "columns: " + ", ".join(_column(role, of) for role, of in columns.items() if of),
        *(f"rows kept: {column} is {' or '.join(of)}" for column, of in suite.keep.items()),
        f"pairs: {_pairs(suite.pairs)}",
        f"judge: {suite.judge}",
        f"metrics: {', '.join(suite.metrics)}",
        f"licence: {suite.licence}",
        *([f"access: {suite.gated}"] if suite.gated else []),
        f"homepage: {suite.homepage}",
        f"cite: {suite.citation}",
    ]
    print_text("\n".join(lines) + "\n")


# -- suites of many turns ------------------------------------------------------------------------------------


_MOST_TASKS = 10_000  # that are counted


def _show_played(suite: EpisodeSuite, named: str, *, as_json: bool) -> None:
    from overt import registry
    from overt.environments.scripted import options_of, players_of
    from overt.tasks.playing import safely

    environment = registry.load_environment(suite.environment)
    wants_prompts = bool(getattr(environment, "wants_prompts", False))
    tasks = (
        None if wants_prompts else safely(environment, lambda: _count(environment.tasks(suite.settings, ())))
    )
    players = {name: options_of(factory) for name, factory in players_of(suite.name).items()}
    if as_json:
        print_json({**_data(suite), "takes": list(environment.takes), "tasks": tasks, "players": players})
        return
    target = f"scripted/{suite.name}/{next(iter(players))}" if players else "openai/MODEL"
    of = " --of overt-pairs" if wants_prompts else ""
    lines = [
        f"{suite.name}: {suite.title}, hash {suite.hash}",
        suite.measures,
        *(f"warning: {warning}" for warning in suite.warnings),
        "",
        f"environment: {suite.environment}, version {getattr(environment, 'version', 1)}",
        f"works on: {_works_on(tasks)}",
        f"takes of a target: {', '.join(environment.takes) or 'words alone'}",
        f"turns: up to {suite.turns:,} (--turns)",
        f"trials of each task: {suite.trials:,} (--samples)",
        *(f"--setting {name}={_written(value)}" for name, value in suite.settings.items()),
        *(f"player: scripted/{suite.name}/{name}{_options(known)}" for name, known in players.items()),
        f"judge: {suite.judge}",
        *_source(suite),
        "",
        f"for instance: overt run --suite {named}{of} --target {target} --out runs/{suite.name}",
    ]
    print_text("\n".join(lines) + "\n")


def _works_on(tasks: int | None) -> str:
    if tasks is None:
        return "the prompts of a data set: DATASET, or --of SUITE"
    return f"tasks of its own, {tasks:,}" + (" or more" if tasks == _MOST_TASKS else "")


def _source(suite: EpisodeSuite) -> list[str]:
    given = {"licence": suite.licence, "homepage": suite.homepage, "cite": suite.citation}
    return [f"{name}: {value}" for name, value in given.items() if value]


def _count(tasks: Iterable[object]) -> int:
    return sum(1 for _ in islice(tasks, _MOST_TASKS))


def _written(value: object) -> str:
    """A setting as `--setting` takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _options(names: list[str]) -> str:
    return f"  (options: {', '.join(names)})" if names else ""


# -- suites of prompts ---------------------------------------------------------------------------------------


def _pairs(pairs: Pairs | None) -> str:
    if pairs is None:
        return "none"
    return f"{pairs.column}, less an offset by {pairs.by}" if pairs.by else f"equal {pairs.column}"


def _part(part: Part) -> str:
    places = []
    if part.hub:
        where = "/".join(filter(None, (part.config, part.split)))
        places.append(f"{part.hub} on the Hub" + (f" ({where})" if where else ""))
    if part.url:
        places.append(part.url)
    if part.files:
        places.append(f"local files {', '.join(part.files)}")
    label = part.label if isinstance(part.label, str) else f"labelled by {part.label.column}"
    column = f", text from {' or '.join(part.text)}" if part.text else ""
    return f"{label}{column}; {'; '.join(places)}"


def _column(role: str, names: tuple[str, ...]) -> str:
    # All columns of a seed name it together; of the others the first that a table has counts.
    return f"{role} from {(' and ' if role == 'seed' else ' or ').join(names)}"


def _data(suite: Suite | EpisodeSuite) -> dict[str, object]:
    return {**suite.model_dump(mode="json"), "hash": suite.hash}
