"""Codes that no row of the vocabulary has are told, with the words that count."""

import pytest
from support.builders import make_prompt

from overt.data.chat import CallError
from overt.data.provider.codes_file import parse_codes
from overt.data.provider.vocabulary import refusal_stage, teaching
from overt.data.targets import Response
from overt.scoring.refusal import decide
from overt.scoring.unknown_codes import WORDS, unknown_code, unknown_said

PROMPT = make_prompt("a cat")


def code_of(response, target="shop:Painter"):
    outcome = decide(PROMPT, response, target=target, sample=0, images=(), facts=())
    return unknown_code(response, outcome)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (Response(status=400, code="house_rule_7"), "house_rule_7"),
        (Response(code="paws"), "paws"),
        (Response(status=200, code="a\x1b[2J\nb"), "a[U+001B][2J b"),
        (Response(code="x" * 900), "x" * 59 + "…"),
        (Response(status=400, code="content_policy_violation"), ""),  # a refusal
        (Response(status=429, code="rate_limit_exceeded"), ""),  # known, and an error
        (Response(code="house_rule_7", error=CallError("server", "down")), ""),  # judged by the class itself
        (Response(status=500), ""),  # no code at all
        (Response(code="paws", text="I would rather not."), ""),  # text instead of a picture refuses
    ],
)
def test_which_codes_are_unknown(response, code):
    assert code_of(response) == code


@pytest.mark.parametrize(("stage", "word"), WORDS.items())
def test_the_words_that_are_named_count_at_their_stage(stage, word):
    assert refusal_stage("shop:Painter", word) == stage
    assert code_of(Response(code=word)) == ""


def test_what_is_told_can_be_followed():
    said = unknown_said("shop:Painter", {"paws": 1, "it's 'so'": 7, **{f"c{n}": 1 for n in range(9)}})
    assert said.startswith("shop:Painter returned codes that overt does not know")
    assert "(7), 'c0' (1)" in said
    assert "and 6 more" in said
    assert all(word in said for word in WORDS.values())
    simple = unknown_said("shop:Painter", {"paws": 1})
    line = simple.partition("with the line  ")[2].partition("  and --codes")[0]
    with teaching(parse_codes(line.encode(), "codes.yaml")):
        assert code_of(Response(code="paws")) == ""
