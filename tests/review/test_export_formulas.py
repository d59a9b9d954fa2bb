"""Exports of labels start no formula in a spreadsheet, and read back as what was reviewed."""

import csv
import io

import pytest

from overt.data.text import begins_like_formula, guarded, without_guard
from overt.review.export import _csv

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://x","y")',
    "+1",
    "-1+2",
    "@SUM(A1)",
    "|calc",
    "%0A=1",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "\u3000=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM",
    "\u22121",
    "'=1",
    '"=1',
    "\u201c=1",
    "\u200b=1",
    "\ufeff=1",
    "\u202e=1",
    "\x01=1",
    "\u200d=1",
    "\ufe66 1",
]
HARMLESS = ["", "a = b", "1 + 1", "'tis", '"quoted"', "a-b", "$5", "\u00e9t\u00e9", "?=1", "5%", "'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_guarded(text):
    assert begins_like_formula(text)
    row = next(
        csv.DictReader(
            io.StringIO(_csv([{"prompt": text, "note": "x"}], ["prompt", "note"]).decode(), newline="")
        )
    )
    assert row["prompt"].startswith("'")
    assert without_guard(row["prompt"]) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays(text):
    assert guarded(text) == text
    assert without_guard(text) == text


def test_a_figure_stays_a_figure():
    assert (
        _csv([{"chance": -0.5, "label": "a;=1"}], ["chance", "label"]).decode()
        == '"chance","label"\n-0.5,"a;=1"\n'
    )
