"""The command line. Commands stand in files of their own; what they need is imported when they run."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

import overt
from overt.cli_compare import compare
from overt.cli_demo import demo
from overt.cli_generate import generate
from overt.cli_judge_check import judge_check
from overt.cli_policies import app as policies_app
from overt.cli_publish import leaderboard, publish
from overt.cli_report import gate, report
from overt.cli_review import review
from overt.cli_rewrite import rewrite
from overt.cli_run import run
from overt.cli_score import score
from overt.cli_show import show
from overt.cli_suites import app as suites_app
from overt.data.errors import OvertError

app = typer.Typer(
    name="overt",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Measure over-refusal: how often safety filters say no when they should say yes.

    Begin with a data set for your own policy; no key and no GPU is needed:

        overt policies list

        overt generate --policy newsroom --out runs/first

        overt run runs/first --target filter/better-profanity --out runs/tested

        overt report runs/tested

    Every command has examples in its own --help.
    """,
)
app.command()(generate)
app.command()(run)
app.command()(score)
app.command()(rewrite)
app.command()(report)
app.command()(gate)
app.command()(compare)
app.command()(review)
app.command()(publish)
app.command()(leaderboard)
app.command("push-results", hidden=True)(leaderboard)
app.command("judge-check")(judge_check)
app.command()(demo)
app.command()(show)
app.add_typer(policies_app, name="policies")
app.add_typer(suites_app, name="suites")


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
    """The console script: a person's errors without a traceback, and an exit code that says what kind.

    0 done; 1 a run that cannot go on, or a gate that fails; 2 bad input; 3 too little coverage; 4 a cap on
    requests or cost was reached; 130 Ctrl-C.
    """
    try:
        app()
    except OvertError as error:
        print(f"overt: {error.message()}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as stop:
        if stop.code != 130:
            raise
        _stopped()  # Typer makes this of a KeyboardInterrupt, and says nothing
    except BrokenPipeError:  # `overt show ... | head`
        sys.stderr.close()
        raise SystemExit(0) from None


def _stopped() -> NoReturn:
    print("overt: stopped; the same command goes on where this one ended", file=sys.stderr)
    raise SystemExit(130) from None
