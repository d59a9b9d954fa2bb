"""The formats of training data: what each makes of prompts and answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.refusal_tokens import Tokens
from overt.data.refusal_tokens_file import COCONOT, SINGLE, TOKENS_FILE, tokens_bytes
from overt.data.text import plain
from overt.data.training import Example, Placed
from overt.data.training_rows import TOKEN_COLUMNS, plain_row, token_of, token_rows
from overt.policies.schema import Policy
from overt.tasks.export_answers import answered, template_names
from overt.tasks.export_config import ExportConfig
from overt.tasks.export_making import Made, Making, TrainingFormat, counted
from overt.tasks.export_resa import check_resa, make_resa, resa_templates

TOKEN = "token"  # the stage in which answers get their tokens
_FEW = 10  # refusals of a category in the training part, below which its token learns little


def _answer_templates(config: ExportConfig, modality: str) -> Sequence[str]:
    return list(template_names(config, modality).values())


# -- plain rows ------------------------------------------------------------------------------------------


def _sft(making: Making) -> Made:
    return Made([plain_row(example) for example in answered(making, making.placed)])


# -- refusal tokens --------------------------------------------------------------------------------------


def _check_tokens(config: ExportConfig, placed: Sequence[Placed], policy: Policy) -> None:
    """
    Raises:
        InputError: an unsafe prompt has a category that is none of CoCoNot's, whose tokens were asked for; or
            one that is called as the tokens of all categories are.
    """
    there = {one.category for one in placed if one.prompt.label == "unsafe"}
    if config.tokens == "category" and (taken := sorted(there & SINGLE.all.keys())):
        raise InputError(
            f"--tokens category has no name for the token of the category {plain(taken[0])!r}: another token "
            "has it",
            fix="Give the category another name in the data set, or take --tokens single.",
        )
    if config.tokens == "coconot" and (strange := sorted(there - COCONOT.refuse.keys())):
        raise InputError(
            f"--tokens coconot has no token for the category {plain(strange[0])!r}",
            fix=f"Its categories are {', '.join(COCONOT.refuse)} (--suite coconot). For other data sets: "
            "--tokens category.",
        )


def _tokens_for(config: ExportConfig, examples: Sequence[Example]) -> Tokens:
    """The tokens of an export: of categories those that have a refusal to learn from."""
    if config.tokens == "single":
        return SINGLE
    if config.tokens == "coconot":
        return COCONOT
    names = sorted({e.category for e in examples if e.kind != "answer"})
    return Tokens(SINGLE.respond, {name: f" [{name}]" for name in names} or SINGLE.refuse)


def _without_tokens(making: Making, examples: Sequence[Example], tokens: Tokens) -> list[Example]:
    """The examples in which no token stands. One in a prompt would be read as a token of the model's own, and
    one in an answer would teach to write a second."""
    marks = [text.strip() for text in tokens.all.values()]

    def why_not(example: Example) -> str:
        said = (example.prompt.text, *(turn.content for turn in example.prompt.turns or ()))
        if any(mark in text for mark in marks for text in said):
            return "a token stands in the prompt"
        return "a token stands in the answer" if any(mark in example.answer for mark in marks) else ""

    return [e for e in examples if making.passes(TOKEN, e.prompt.id, e.category, why_not(e))]


def _refusal_tokens(making: Making) -> Made:
    found = answered(making, making.placed)
    tokens = _tokens_for(making.config, found)
    examples = _without_tokens(making, found, tokens)
    rows = list(token_rows(examples, tokens))
    trained = Counter(token_of(e, tokens) for e in examples if e.split == "train")
    few = [f"{name} ({trained[name]})" for name in tokens.all if trained[name] < _FEW]
    if few:
        making.work.keep(f"tokens with fewer than {_FEW} rows to train on: {', '.join(map(plain, few))}")
    said = (
        "Each completion begins with a token, whose leading blank belongs to it:",
        "\n".join(f"    {json.dumps(name)}: {json.dumps(text)}" for name, text in tokens.all.items()),
        "They are no words of a stock tokenizer: add them to it before training, start their rows from "
        f"words, and train them. `{TOKENS_FILE}` names them for `hf/MODEL?refusal_tokens={TOKENS_FILE}`.",
        "A chat template that trims messages (Llama 3's does) takes the blank away: look at one row as it is "
        "trained. The token is no verdict: a model that is made to respond may still refuse in words, so "
        "measure what it writes.",
        "Refuse tokens stand before refusals and before safe completions, the respond token before answers.",
    )
    names = [token_of(example, tokens) for example in examples]
    facts: dict[str, Json] = {"tokens": dict(tokens.all), "by_token": counted(names)}
    return Made(rows, {TOKENS_FILE: tokens_bytes(tokens)}, said, TOKEN_COLUMNS, facts)


# By the names of `TRAINING_FORMATS` (overt/tasks/export_config.py).
TRAINING: dict[str, TrainingFormat] = {
    "sft": TrainingFormat("plain rows for supervised fine-tuning", _sft, templates=_answer_templates),
    "refusal-tokens": TrainingFormat(
        "rows for refusal tokens (arXiv 2412.06748)",
        _refusal_tokens,
        check=_check_tokens,
        templates=_answer_templates,
    ),
    "resa": TrainingFormat(
        "rows for answer-then-check (arXiv 2509.11629)", make_resa, check=check_resa, templates=resa_templates
    ),
}
