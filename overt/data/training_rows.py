"""Rows of training data in the chat format of TRL: `prompt` and `completion` as lists of role and content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from overt.data.json_types import Json
from overt.data.records import Prompt
from overt.data.refusal_tokens import REFUSE, RESPOND, Tokens
from overt.data.training import Example, TrainingRow

# The columns of every row beside `prompt` and `completion`.
COLUMNS = {
    "id": "hash of the prompt's text: the same in every data set of overt",
    "label": "benign or unsafe under the policy",
    "category": "category, with its published names mapped to one spelling",
    "type": "the kind of prompt that its suite names, empty where it names none",
    "attack": "the attack that dressed the request, empty where there is none",
    "vanilla": "the request before it was dressed, empty where there is none",
    "kind": "what the completion is: answer, refusal or safe_completion",
    "answer_by": "who wrote it: provider/model, run TARGET, file, or template NAME@VERSION (fixed sentences)",
    "seed_id": "what the prompt was made from, empty where that is not known",
    "pair_id": "a benign prompt and its unsafe twin share it",
    "cluster": "the rows of one cluster are all in one split",
}
TOKEN_COLUMNS = {"token": "the name of the token that the completion begins with, as in tokens.json"}


def plain_row(example: Example, *, before: str = "", more: Mapping[str, Json] | None = None) -> TrainingRow:
    """The row of an example: what was said before and the prompt, then the answer.

    Args:
        before: what the answer begins with, such as a token.
        more: other columns.
    """
    return TrainingRow(
        turns_of(example.prompt),
        ({"role": "assistant", "content": before + example.answer},),
        example.split,
        {**columns_of(example), **(more or {})},
    )


def turns_of(prompt: Prompt) -> tuple[Mapping[str, str], ...]:
    """The messages of a prompt, with those that stood before it."""
    earlier = ({"role": turn.role, "content": turn.content} for turn in prompt.turns or ())
    return (*earlier, {"role": "user", "content": prompt.text})


def columns_of(example: Example) -> dict[str, Json]:
    """The values of `COLUMNS`."""
    prompt = example.prompt
    return {
        "id": prompt.id,
        "label": prompt.label,
        "category": example.category,
        "type": example.type,
        "attack": prompt.attack or "",
        "vanilla": prompt.vanilla or "",
        "kind": example.kind,
        "answer_by": example.answer_by,
        "seed_id": prompt.seed_id or "",
        "pair_id": prompt.pair_id or "",
        "cluster": example.cluster,
    }


def token_rows(examples: Iterable[Example], tokens: Tokens) -> Iterator[TrainingRow]:
    """Rows whose answers begin with a token: the respond token before answers, a refuse token before all that
    does not do what was asked, a refusal or a safe completion (arXiv 2412.06748, section 2).

    Raises:
        KeyError: there is no token for the category of a refusal.
    """
    texts = tokens.all
    for example in examples:
        name = token_of(example, tokens)
        yield plain_row(example, before=texts[name], more={"token": name})


def token_of(example: Example, tokens: Tokens) -> str:
    """The name of the token before an example's answer."""
    if example.kind == "answer":
        return RESPOND
    return REFUSE if tokens.is_single else example.category
