"""`overt suites`: list the shipped suites of text and of pictures, show one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from overt.cli.completion import completer
from overt.cli.tables import print_json, print_text

if TYPE_CHECKING:
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
    """,
)


@app.command("list")
def list_all(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Name, prompts, licence and purpose of every shipped suite, those of text before those of pictures.

    For instance:

        overt suites list

        overt suites list --json | jq '.[].name'
    """
    from overt.data.suites.load import list_suites, load_suite

    suites = [load_suite(name) for name in list_suites()]
    if as_json:
        print_json([_data(suite) for suite in suites])
        return
    import shutil

    room = max(shutil.get_terminal_size().columns - 4, 30)
    for modality, asks_for in _ASKS_FOR.items():
        print_text(f"Suites that ask for {asks_for}:\n\n")
        for suite in (suite for suite in suites if suite.modality == modality):
            print_text(f"{suite.name}  ({', '.join(_headline(suite))})\n")
            first = suite.measures
            print_text(f"    {first if len(first) <= room else first[: room - 3] + '...'}\n")
        print()
    print("More of one: overt suites show NAME")


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
            help="A shipped suite, or the path of a YAML file.", autocompletion=completer("suite")
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """What a suite measures, where its prompts come from, how access is had, what to cite.

    For instance:

        overt suites show sorry_bench

        overt suites show mine.yaml --json
    """
    from overt.data.suites.load import load_suite

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


def _data(suite: Suite) -> dict[str, object]:
    return {**suite.model_dump(mode="json"), "hash": suite.hash}
