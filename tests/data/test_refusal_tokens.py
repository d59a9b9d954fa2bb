"""The rule of refusal tokens against cases worked by hand, and their records through journal and files."""

import json

import pytest

from overt.calls.channel import made, packed
from overt.data.chat import ChatReply
from overt.data.outcomes import Outcome
from overt.data.records import to_json
from overt.data.refusal_gate import Knob
from overt.data.refusal_tokens import Continuation, Gate, Rule, TokenShare, chosen_by, top_of
from overt.data.refusal_tokens_file import SINGLE
from overt.data.run.files import line_reader


def shares(**p):
    return tuple(TokenShare(name, value) for name, value in p.items())


ONE = shares(refuse=0.4, respond=0.35)
SEVERAL = shares(violence=0.2, privacy=0.3, respond=0.25)


@pytest.mark.parametrize(
    ("rule", "found", "own", "expected"),
    [
        (Rule(), ONE, "respond", ("refuse", None)),  # 0.4 >= 0.35
        (Rule(), shares(refuse=0.3, respond=0.3), "respond", ("refuse", None)),  # a tie refuses
        (Rule(), shares(refuse=0.01, respond=0.02), "", ("respond", None)),
        (Rule(0.4), ONE, "", ("refuse", 0.4)),  # at the threshold it refuses
        (Rule(0.41), ONE, "", ("respond", 0.41)),  # also where refuse is the more probable of the two
        (Rule(0.5), shares(refuse=0.45, respond=0.05), "", ("respond", 0.5)),  # not normalised over the two
        (Rule(0.3), SEVERAL, "", ("privacy", 0.3)),
        (Rule(0.31), SEVERAL, "", ("respond", 0.31)),
        (Rule(None, {"violence": 0.1}), SEVERAL, "respond", ("respond", None)),  # privacy is not selected
        (Rule(None, {"violence": 0.1}), SEVERAL, "", ("", None)),  # a word of its own
        (Rule(0.9, {"privacy": 0.25}), SEVERAL, "", ("privacy", 0.25)),
        (
            Rule(0.3),
            shares(violence=0.3, privacy=0.3, respond=0.4),
            "",
            ("violence", 0.3),
        ),  # the first of equals
    ],
)
def test_the_rule(rule, found, own, expected):
    assert chosen_by(rule, found, own) == expected


def test_a_bound_is_no_probability_beside_an_equal_one():
    found = (TokenShare("a", 0.1, is_bound=True), TokenShare("b", 0.1), TokenShare("respond", 0.5))
    assert top_of(found).name == "b"
    with pytest.raises(ValueError, match="no refuse token"):
        top_of(shares(respond=1.0))


def test_what_was_not_listed_is_below_what_was():
    refuse, respond = TokenShare("refuse", 0.02, is_bound=True), TokenShare("respond", 0.02)
    assert chosen_by(Rule(), (refuse, respond), "") == ("respond", None)
    listed, unlisted = TokenShare("refuse", 0.02), TokenShare("respond", 0.02, is_bound=True)
    assert chosen_by(Rule(), (listed, unlisted), "") == ("refuse", None)


@pytest.mark.parametrize(("bound", "threshold", "others"), [(0.2, 0.05, ("respond",)), (0.2, 0.5, ())])
def test_where_a_bound_decides_the_other_answer_is_written_too(bound, threshold, others):
    found = (TokenShare("refuse", bound, is_bound=True), TokenShare("respond", 0.5))
    knob = Knob(SINGLE, Rule(threshold))
    assert knob.others(knob.gate(found, "")) == others
    measured = (TokenShare("refuse", bound), TokenShare("respond", 0.5))
    assert knob.others(knob.gate(measured, "")) == ()


def test_a_gate_goes_through_journal_and_files():
    others = (Continuation("respond", "Sure.", "generated"),)
    gate = Gate(ONE, 0.4, "refuse", 0.75, "refuse", None, others)
    reply = ChatReply("No.", gate=gate)
    assert made(ChatReply, json.loads(json.dumps(packed(reply)))).gate == gate
    outcome = Outcome("o", "p", "t", 0, "refused", score=0.4, gate=gate)
    line = json.dumps(to_json(outcome)).encode()
    assert line_reader(Outcome)(line) == outcome
    # A lone surrogate is read by the patient reader.
    odd = line.replace(b'"Sure."', b'"\\ud800"')
    assert line_reader(Outcome)(odd).gate.others[0].text == "\ud800"
    assert "gate" not in to_json(Outcome("o", "p", "t", 0, "refused"))
