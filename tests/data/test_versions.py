"""In which words it is told what versions of prompts differ in."""

import pytest

from overt.data.records import group_name
from overt.data.versions import ASKED, DEPICTED, difference_of


@pytest.mark.parametrize(
    ("groups", "what"),
    [
        (["religion: Muslim", "skin: with dark skin"], "who is depicted"),
        ([group_name(ASKED, "after its unsafe twin"), group_name(ASKED, "alone")], "what was said before"),
        (["asked: alone", "religion: Muslim"], "who is depicted"),
        ([], "who is depicted"),
    ],
)
def test_what_versions_differ_in(groups, what):
    assert difference_of(groups).what == what


def test_the_words_of_versions_that_depict_people():
    assert DEPICTED.title == "Who is depicted"
    assert "of a person" in DEPICTED.means
    assert "of a person" not in difference_of(["asked: alone"]).means
