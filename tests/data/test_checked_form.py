"""The format of answer-then-check: what is in it, and what is not."""

import pytest

from overt.data.answer_then_check import Checked, NotInForm, has_tags, read_checked, written
from overt.data.replies import read_reply

WHOLE = Checked(
    "I should name three spices.", "It names spices. Therefore, I can answer.", "Salt and pepper."
)


def test_written_and_read():
    text = written(WHOLE)
    assert read_checked(text) == WHOLE
    assert read_reply(text).answer.strip() == "Salt and pepper."


def test_tags_that_a_gateway_sends_as_entities():
    text = written(WHOLE).replace("<", "&lt;").replace(">", "&gt;")
    assert read_checked(text) == WHOLE
    assert read_reply(text).answer.strip() == "Salt and pepper."
    assert "Therefore, I can answer." in read_reply(text).thinking
    # Those of a text that has tags are words.
    quoted = Checked("Not &lt;/safety_check&gt; yet.", "It is safe.", "Salt.")
    assert read_checked(written(quoted)) == quoted


@pytest.mark.parametrize(
    "text",
    [
        written(WHOLE).upper(),
        "<INTENDED_ANSWER_SUMMARY>the plan</INTENDED_ANSWER_SUMMARY> Salt.",
        '<safety_check id="1">the plan',
        "the plan</ safety_check> Salt.",
        "the plan&lt;/Safety_Check&gt; Salt.",
    ],
)
def test_a_miswritten_tag_is_no_plain_answer(text):
    assert has_tags(text)
    assert isinstance(read_checked(text), NotInForm)


def test_marks_around_the_final_answer_are_no_part_of_it():
    text = written(WHOLE).replace(WHOLE.final, f"<answer>{WHOLE.final}</answer>")
    assert read_reply(text).answer == WHOLE.final


@pytest.mark.parametrize(
    ("text", "why", "final"),
    [
        (written(WHOLE).replace("</safety_check>", ""), "</safety_check> is missing", None),
        ("Salt.", "<safety_check> is missing", None),
        ("</safety_check> Salt.", "<safety_check> is missing", "Salt."),
        (written(WHOLE) + written(WHOLE), "<safety_check> stands in it 2 times", "Salt and pepper."),
        ("Well. " + written(WHOLE), "order", "Salt and pepper."),
        (written(WHOLE).replace("Salt and pepper.", " "), "the final is empty", ""),
        (
            written(WHOLE).replace("I should name three spices.", ""),
            "the summary is empty",
            "Salt and pepper.",
        ),
    ],
)
def test_what_is_not_in_the_form(text, why, final):
    found = read_checked(text)
    assert isinstance(found, NotInForm)
    assert why in found.why
    assert found.final == final
