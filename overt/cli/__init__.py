"""The command line. Each command has its own module, which is imported when it is called.

A new command is a file of its name here, and a line in COMMANDS.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

import overt
from overt.cli.terminal import wrap_streams
from overt.data.errors import OvertError
from overt.data.text import visible

# Every command and the first line of its help, in the order of `overt --help`. `judge-check` is the function
# `judge_check` in the file judge_check.py (others: FILES); a file that holds an `app` is a group of commands.
COMMANDS = {
    "try": "Ask one prompt at once: what each target and each layer says, the picture or the answer, seconds "
    "and cost.",
    "generate": "Make a data set for a policy: benign prompts that sound dangerous, and their unsafe twins.",
    "plan": "Say what a run needs before it is made: prompts for a decision, calls, hours, cost, energy.",
    "run": "Fire prompts at models, filters and products; tell refusals from errors; see which layer "
    "refused.",
    "merge": "Put the shards of a run together: the whole run, with no request and no model.",
    "score": "Let judges say what is harmful: harmful-content rate, safe response rate, agreement.",
    "rewrite": "Reword refused benign prompts, try them again, and measure what the remedy costs in meaning.",
    "explain": "Find the words for which benign prompts were refused: the smallest edit that flips each "
    "decision.",
    "report": "Write the report: one HTML file that works offline, plots, summary.json and a Markdown table.",
    "gate": "Exit with 1 when a rate is over its limit and its interval says so, and say where: for CI.",
    "calibrate": "Find the threshold that keeps over-refusal below a limit; try it on seeds that took no "
    "part.",
    "compare": "Say what changed between two runs: paired differences with intervals, corrected tests, "
    "flips.",
    "view": "All runs of a folder on a local page: prompts beside answers, filters, search, progress.",
    "review": "Review a run by people, in the browser and by keyboard: precision with an interval, and "
    "agreement.",
    "publish": "Publish a data set or results on the Hugging Face Hub; `datasets.load_dataset` loads them "
    "untouched.",
    "export": "Write a data set as files for another harness (lm-eval, promptfoo), or as training data.",
    "import-log": "Read a log of Inspect as a run: what a model answered there, judged and counted here.",
    "leaderboard": "Put the results of several runs into one sortable table with intervals: HTML, JSON and "
    "Markdown.",
    "judge-check": "Compare judges with human labels: accuracy, Cohen's kappa, per class, confusion, with "
    "intervals.",
    "answer-forms": "Say how answers keep to the format of answer-then-check, and how many contradict their "
    "own check.",
    "dedupe": "Drop the rows of files that repeat an earlier row: a million in memory, more from files.",
    "demo": "Generate, run, score, rewrite and report on an embedded toy world: no key, no GPU, no download.",
    "doctor": "Say what is installed, what each extra adds, which keys are set by name, what is broken.",
    "schema": "Print the JSON Schema of results/summary.json and of other files that overt writes.",
    "show": "Show a run: what went in and out of each stage, what it cost, and sample prompts.",
    "policies": "What a product disallows, what it allows, and which words make the two look alike.",
    "suites": "Published suites of text and of pictures that measure over-refusal.",
}
# Commands whose names no module can have, with the names of their files and functions.
FILES = {"try": "try_prompt"}
# Former names of commands, which still work but are not listed.
OLD_NAMES = {"push-results": "leaderboard"}
_HELP = {"help_option_names": ["-h", "--help"]}


class _Loaded(Mapping[str, TyperCommand | TyperGroup]):
    """The commands by name, each imported when it is looked up."""

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        return load_command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """The root of all commands: its help needs none of them imported."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.commands = _Loaded()  # type: ignore[assignment]
        self._resolves = False

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        name = OLD_NAMES.get(cmd_name, cmd_name)
        if ctx.resilient_parsing and not self._resolves:  # completion lists every command with its help
            return _listed(name)
        return load_command(name) if name in COMMANDS else None

    def resolve_command(self, ctx: typer.Context, args: list[str]):  # type: ignore[no-untyped-def, override]
        """The command that the line names, whose own options are wanted."""
        self._resolves = True
        try:
            return super().resolve_command(ctx, args)
        finally:
            self._resolves = False

    def format_commands(self, ctx: typer.Context, formatter) -> None:  # type: ignore[no-untyped-def, override]
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        rows = [(name, _listed(name).get_short_help_str(limit)) for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _listed(name: str) -> TyperCommand:
    return TyperCommand(name, help=COMMANDS.get(name), rich_markup_mode=None)


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Imports the file of a command, and makes the command with its whole help.

    Raises:
        KeyError: there is no such command.
    """
    first = COMMANDS[name]
    called = FILES.get(name, name.replace("-", "_"))
    module = importlib.import_module(f"overt.cli.{called}")
    app: typer.Typer | None = getattr(module, "app", None)
    if app is None:
        function = getattr(module, called)
        app = _typer()
        app.command(name, help=f"{first}\n\n{inspect.getdoc(function) or ''}")(function)
    made = typer.main.get_command(app)
    made.name = name
    if isinstance(made, TyperGroup):
        made.help = f"{first}\n\n{made.help or ''}"
    assert isinstance(made, TyperCommand | TyperGroup)
    return made


def _typer() -> typer.Typer:
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, context_settings=_HELP
    )


app = typer.Typer(
    cls=LazyGroup,
    name="overt",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_HELP,
    help="""Measure over-refusal: how often safety filters say no when they should say yes.

    Begin with a data set for your own policy; no key and no GPU is needed (the filter is one
    of the extra [filters]):

        overt policies list

        overt generate --policy newsroom --out runs/first

        overt run runs/first --target filter/better-profanity --out runs/tested

        overt report runs/tested

    Every command has examples in its own --help.
    """,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"overt {overt.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The console script: expected errors are printed without a traceback and set the exit code.

    0 done; 1 a run that cannot go on, an empty data set, or a gate that fails; 2 bad input; 3 too little
    coverage, too few prompts, or an undecided gate; 4 a cap on requests or cost was reached; 5 batches are
    still at the provider, come back later; 130 Ctrl-C.
    """
    wrap_streams()
    collect_less()
    try:
        app()
    except OvertError as error:
        print(f"overt: {visible(error.message())}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as stop:
        if stop.code != 130:
            raise
        _stopped()  # Typer turns a KeyboardInterrupt into this exit code, and says nothing
    except BrokenPipeError:  # `overt show ... | head`
        sys.stderr.close()
        raise SystemExit(0) from None


def collect_less() -> None:
    """Lets Python look for circles of garbage less often: that took a fifth of the time of a call, since it
    walks over prompts and requests that are kept anyway."""
    if not gc.get_freeze_count():  # what is garbage by then stays, so once
        gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _stopped() -> NoReturn:
    goes_on = sys.argv[1:2] not in (["try"], ["plan"])  # which keep nothing
    end = "the same command goes on where this one ended" if goes_on else "nothing is kept"
    print(f"overt: stopped; {end}", file=sys.stderr)
    raise SystemExit(130) from None
