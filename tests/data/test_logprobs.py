"""The probabilities of a first token in an answer's body, and what services say of how many they list."""

import math

import pytest

from overt.data.provider.dialect import fewer_logprobs
from overt.data.provider.logprobs import read_top
from overt.data.refusal_tokens import Tokens, TokenShare

TOKENS = Tokens(" [respond]", {"refuse": " [refuse]"})


def body(top, drawn="a"):
    entries = [{"token": text, "logprob": math.log(p), "bytes": None} for text, p in top.items()]
    return {
        "choices": [{"logprobs": {"content": [{"token": drawn, "logprob": 0.0, "top_logprobs": entries}]}}]
    }


def test_probabilities_and_bounds():
    top = read_top(body({"a": 0.5, " [respond]": 0.3, "b": 0.1}))
    assert top.own(TOKENS) == ""
    assert top.bound == pytest.approx(0.1)
    refuse, respond = top.shares(TOKENS)
    assert respond == TokenShare("respond", pytest.approx(0.3))
    assert refuse == TokenShare("refuse", pytest.approx(0.1), is_bound=True)
    # "[respond]" without its blank is another token.
    assert all(share.is_bound for share in read_top(body({"[respond]": 0.9})).shares(TOKENS))


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: {"token": text.replace(" ", "\u0120")},
        lambda text: {"token": text.replace(" ", "\u2581")},
        lambda text: {"token": f"token_id:{len(text)}", "bytes": list(text.encode())},
        lambda text: {"token": "", "bytes": list(text.encode())},
        lambda text: {"token": text, "bytes": [0xF0, 0x9F]},  # a part of a letter
        lambda text: {"token": text, "bytes": [999]},
    ],
)
def test_tokens_are_found_in_every_spelling(spelled):
    entries = [
        {**spelled(text), "logprob": math.log(p)}
        for text, p in {" [refuse]": 0.6, " [respond]": 0.3, "b": 0.02}.items()
    ]
    first = {**entries[0], "top_logprobs": entries}
    top = read_top({"choices": [{"logprobs": {"content": [first]}}]})
    assert top.own(TOKENS) == "refuse"
    assert [(share.p, share.is_bound) for share in top.shares(TOKENS)] == [
        (pytest.approx(0.6), False),
        (pytest.approx(0.3), False),
    ]


@pytest.mark.parametrize("listed", ["[refuse]", ""])
def test_what_may_be_the_token_is_in_its_bound(listed):
    """Without its blank, or as a special token without any text: the bound must not be below it."""
    top = read_top(body({"a": 0.4, listed: 0.3, "b": 0.05}))
    assert top.bound == pytest.approx(0.05)
    refuse, _ = top.shares(TOKENS)
    assert refuse == TokenShare("refuse", pytest.approx(0.3), is_bound=True)


def test_a_drawn_token_among_them_bounds_nothing():
    """vLLM lists the token that was drawn besides the most probable ones, whatever its own probability."""
    assert read_top(body({"a": 0.4, "b": 0.2, "drawn": 1e-6}, "drawn")).bound == pytest.approx(0.2)
    assert read_top(body({"a": 0.98}, "a")).bound == pytest.approx(0.02)


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, {"choices": []}, {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": []}}]},
        {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": -1.0}]}}]},
        {"choices": [{"logprobs": {"content": [{"token": "a", "top_logprobs": [{"token": 1}, None]}]}}]},
        {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "a", "logprob": math.nan}]}]}}]},
        {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "a", "logprob": True}]}]}}]},
    ],
)  # fmt: skip
def test_a_body_without_them(data):
    assert read_top(data) is None


def test_values_out_of_range_are_kept_in_it():
    entries = [
        {"token": "a", "logprob": 0.1},
        {"token": "b", "logprob": -9999.0},
        {"token": "c", "logprob": -math.inf},
        {"token": "d", "logprob": -(10**400)},
    ]
    top = read_top({"choices": [{"logprobs": {"content": [{"token": "a", "top_logprobs": entries}]}}]})
    assert top.listed == {"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}
    assert top.bound == 0.0


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ("Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 7", 7),
        ("top_logprobs must be between 0 and 8", 8),
        ("top_logprobs: at most 10", 10),
        ("top_logprobs is not supported", None),
        ("top_logprobs must be at most 40", None),
        ("max_tokens must be at most 5", None),
    ],
)
def test_how_many_are_listed(words, most):
    assert fewer_logprobs(words, 20) == most
