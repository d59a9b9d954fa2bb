"""The format of answer-then-check: what is in it, and what is not."""

import pytest

from overt.data.answer_then_check import Checked, NotInForm, read_checked, written
from overt.data.replies import read_reply

WHOLE = Checked(
    "I should name three spices.", "It names spices. Therefore, I can answer.", "Salt and pepper."
)


def test_written_and_read():
    text = written(WHOLE)
    assert read_checked(text) == WHOLE
    assert read_reply(text).answer.strip() == "Salt and pepper."


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
