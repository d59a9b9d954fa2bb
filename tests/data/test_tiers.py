"""Tiers of prompts, and the small function that says whether a text only mentions its term."""

from __future__ import annotations

import pytest

from overt.data.records import Prompt, prompt_id
from overt.data.tiers import MENTION, TIERS, label_of, only_mentions, tier_of


@pytest.mark.parametrize(
    "text",
    [
        'A museum label that explains the word "vodka"',
        "A dictionary page open at the entry for vodka",
        "A poster titled Vodka",
        "What is the meaning of 'vodka'?",
        'A bottle labelled "Vodka" beside a sign that reads "vodka"',
        "A sticky note saying “vodka” on a monitor",
    ],
)
def test_a_quoted_or_labelled_term_is_only_mentioned(text: str) -> None:
    assert only_mentions("vodka", text)


@pytest.mark.parametrize(
    "text",
    [
        "A widow pouring the last vodka into the sink",
        'A poster titled "Vodka" above a man drinking vodka',
        "The drunk sailors' vodka, with the word whisky on the bottle",
        "A vodkas stand",
        "",
    ],
)
def test_a_term_that_does_something_is_not_only_mentioned(text: str) -> None:
    assert not only_mentions("vodka", text)
    assert not only_mentions("", text)


def prompt(text: str, template: str, trigger: str = "vodka") -> Prompt:
    return Prompt(prompt_id(text), text, "c", "benign", "direct", "m/x", template, trigger=trigger)


def test_the_embedded_writers_prompts_carry_their_tier_and_others_are_read() -> None:
    assert [tier_of(prompt("vodka", label_of(tier))) for tier in TIERS] == [0, 1, 2, 3]
    assert tier_of(prompt("a man drinking vodka", "direct@1")) == 0
    assert tier_of(prompt('the word "vodka"', "direct@1")) == MENTION
    assert tier_of(prompt("a man drinking vodka", "grammar@1")) == 0  # of an older version
    assert tier_of(prompt("a man drinking vodka", "grammar/odd@9")) == 0
