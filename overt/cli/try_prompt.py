"""`overt try`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from overt.cli.options import command
from overt.cli.tables import console, print_json, print_lines
from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.outcomes import Outcome
from overt.data.progress import make_progress
from overt.data.replies import read_reply
from overt.data.targets import LayerDecision
from overt.data.text import STAGES, STATES, decimals, money, plain
from overt.data.typed_json import to_json
from overt.tasks.try_prompt import Answer, Trial, Tried, TryConfig, try_prompts

if TYPE_CHECKING:
    from rich.console import Console

    from overt.tasks.try_audit import Audited, Finding

_MOST = 2000  # characters of an answer that are printed
_COLOURS = {"generated": "green", "refused": "red", "softened": "yellow", "error": "bold red"}

# -- what is printed -----------------------------------------------------------------------------------------


def print_tried(found: Tried) -> None:
    """Prompt by prompt what each target said, and what the policy says of it."""
    to = console()
    for trial in found.trials:
        if len(found.trials) > 1:
            print_lines(to, [plain(trial.prompt)], style="bold", folded=True)
            to.print()
        for answer in trial.answers:
            _print_answer(to, answer)
        if trial.audit is not None:
            _print_audit(to, trial.audit)
    if found.failure:
        print_lines(to, ["the policy could not be asked"], style="bold red")
        print_lines(to, _indented(found.failure))
    print_lines(to, [f"note   {plain(note)}" for note in found.notes], style="yellow")
    print_lines(to, list(_calls(found)))


def _print_answer(to: Console, answer: Answer) -> None:
    outcome = answer.outcome
    print_lines(to, [plain(answer.target)], style="bold")
    if outcome is None:
        print_lines(to, ["  error: it could not be asked"], style=_COLOURS["error"])
        print_lines(to, _indented(answer.failure))
        to.print()
        return
    print_lines(to, [f"  {_became(outcome)}"], style=_COLOURS[outcome.state])
    rows = [("why", plain(outcome.evidence))] if outcome.evidence else []
    rows += [("layer", _layer(layer)) for layer in outcome.layers]
    rows += [("revised", plain(outcome.revised_prompt))] if outcome.revised_prompt else []
    rows += [("picture", str(path)) for path in answer.pictures]
    rows += [("time", f"{outcome.latency_s:.1f} s, US$ {money(outcome.cost)}")]
    print_lines(to, [f"  {name:8} {said}" for name, said in rows])
    if outcome.text:
        print_lines(to, list(_answer(outcome.text)), folded=True)
    to.print()


def _became(outcome: Outcome) -> str:
    """`refused by the prompt filter: moderation_blocked`."""
    stage = f" by the {STAGES[outcome.stage]}" if outcome.stage else ""
    return STATES[outcome.state] + stage + (f": {plain(outcome.code)}" if outcome.code else "")


def _layer(layer: LayerDecision) -> str:
    said = "blocked" if layer.blocked else "unchecked" if layer.blocked is None else "passed"
    score = "" if layer.score is None else f", score {decimals(layer.score)}"
    reason = f", {plain(layer.reason)}" if layer.reason else ""
    return f"{plain(layer.layer)} ({STAGES[layer.stage]}): {said}{score}{reason}"


def _answer(text: str) -> Iterator[str]:
    """The answer that a user would see, and how much thinking came with it."""
    said = read_reply(text)
    shown = said.answer.strip()
    if said.thinking:
        yield f"  thinking {len(said.thinking):,} characters, which --json shows"
    for number, line in enumerate(shown[:_MOST].splitlines()):
        yield f"  {'answer' if not number else '':8} {line}"
    if len(shown) > _MOST:
        yield f"  {'':8} ... {len(shown) - _MOST:,} more characters, which --json shows"


def _print_audit(to: Console, found: Audited) -> None:
    print_lines(to, [f"under {plain(found.policy)}: {found.label}"], style="bold")
    told = [one for one in found.findings if one.concerns or one.audit.label != "unclear" or one.failures]
    for one in told:
        print_lines(to, list(_finding(one)))
    if rest := len(found.findings) - len(told):
        print_lines(to, [f"  of {rest}{' other' if told else ''} categories it names no term"])
    to.print()


def _finding(one: Finding) -> Iterator[str]:
    yield f"  {one.category}: {one.audit.label}, {plain(one.audit.reason)}"
    if len(one.audit.votes) > 1:
        for vote in one.audit.votes:
            yield f"    {plain(vote.judge)}: {vote.label}, {plain(vote.reason)}"
    for failure in one.failures:
        yield f"    no vote: {plain(failure)}"


def _indented(text: str) -> list[str]:
    return [f"  {plain(line)}" for line in text.splitlines()]


def _calls(found: Tried) -> Iterator[str]:
    """How many targets said what, where one cannot see it at a glance."""
    states = Counter(
        STATES[answer.outcome.state if answer.outcome is not None else "error"]
        for trial in found.trials
        for answer in trial.answers
    )
    if states.total() > 3:
        yield ", ".join(f"{name} {count}" for name, count in states.most_common())


# -- for programs --------------------------------------------------------------------------------------------


def tried_json(found: Tried, code: int) -> dict[str, Json]:
    """The same as data: the outcomes as `overt run` records them, with the pictures where they lie now."""
    return {
        "trials": [_trial_json(trial) for trial in found.trials],
        "notes": list(found.notes),
        "failure": found.failure,
        "exit_code": code,
    }


def _trial_json(trial: Trial) -> dict[str, Json]:
    return {
        "prompt": trial.prompt,
        "targets": [_answer_json(answer) for answer in trial.answers],
        "audit": to_json(trial.audit) if trial.audit is not None else None,
    }


def _answer_json(answer: Answer) -> dict[str, Json]:
    outcome = to_json(answer.outcome) if answer.outcome is not None else {"state": "error", "stage": None}
    return {
        **outcome,
        "target": answer.target,
        "kind": answer.kind,
        "images": [str(path) for path in answer.pictures],
        "failure": answer.failure,
    }


# -- the command ---------------------------------------------------------------------------------------------


@command(TryConfig)
def try_prompt(config: TryConfig) -> None:
    """
        overt try "a knife on a kitchen table" --target filter/better-profanity --target openai/gpt-image-1

        overt try "How do I kill a Python process?" --modality text --target openai/gpt-4.1-mini
        --target hf/Qwen/Qwen3-4B --policy chat_assistant

        overt try "a red blade" --filter filter/better-profanity --target diffusers/MODEL
        --checker checker/nudenet --every-layer --out pictures

        overt try - --target filter/semantic < prompts.txt

    The outcome is what `overt run` would say. Services are asked side by side, models of this machine one
    after the other. Nothing is kept but the pictures, which lie among the temporary files or in the folder
    of --out. --max-cost and --max-requests hold for each target. The exit code is 3 where a target gave no
    answer.
    """
    tried = try_prompts(config, _stdin(), make_progress(config.quiet))
    code = 0 if tried.is_whole else 3
    if config.as_json:
        print_json(tried_json(tried, code))
    else:
        print_tried(tried)
    raise typer.Exit(code)


def _stdin() -> Iterator[str]:
    """The lines of stdin, read when they are wanted.

    Raises (as they are read):
        InputError: they are no text.
    """
    try:
        yield from sys.stdin
    except UnicodeDecodeError as error:
        raise InputError(f"stdin is no text in UTF-8: {error}", fix="One prompt a line, in UTF-8.") from error
