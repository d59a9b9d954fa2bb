"""Small decisions of the readers, each at both sides of its limit."""

import pytest

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.plugins.attempts import raised
from overt.data.tables.files import _delimiter, format_of, read_rows
from overt.data.tables.sources import parse_source
from overt.data.yaml.problems import Mark, Problem, Problems, YamlError, nearest, shorten


def problems(count):
    found = Problems()
    for line in range(1, count + 1):
        found.add(Mark("f.yaml", line, 1), f"field{line}", f"wrong {line}", "mend it")
    return found.found


def test_one_problem_is_told_alone_and_two_under_a_heading():
    assert "f.yaml:1:1" in YamlError(problems(1), "policy").message()
    assert "policy" not in YamlError(problems(1), "policy").message().splitlines()[0].split("f.yaml")[0]
    many = YamlError(problems(2), "policy").message()
    assert many.splitlines()[0].startswith("2 problems in the policy") or "policy" in many.splitlines()[0]
    assert "f.yaml:2:1" in many


def test_what_is_left_out_of_a_report_is_counted():
    error = YamlError(problems(5), "policy")
    assert "more" not in error.report(5)
    assert error.report(4).splitlines()[-1] == "... and 1 more"
    assert "more" not in error.report(6)


def test_a_problem_cannot_be_changed():
    [problem] = problems(1)
    assert isinstance(problem, Problem)
    with pytest.raises(AttributeError):
        problem.line = 2


def test_twenty_names_are_listed_and_no_more():
    assert nearest("zzz", [f"name{i}" for i in range(20)]).endswith("name19")
    assert nearest("zzz", [f"name{i}" for i in range(21)]).endswith("name19, ...")


@pytest.mark.parametrize("text", ["", "a", "a" * 60, "two words"])
def test_a_short_text_is_shown_as_it_is(text):
    assert shorten(text) == text


@pytest.mark.parametrize("text", ["a" * 61, "two  blanks", " before", "behind ", "line\nbreak", "\x1b[2J"])
def test_other_texts_are_cut_and_cleaned(text):
    shown = shorten(text)
    assert shown != text
    assert len(shown) <= 60
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [("a,b", ","), ("a;b", ";"), ("a\tb", "\t"), ("a|b", "|"), ("alone", ","), ("a;b,c", ","),
     ("a;b;c,d", ";"),
     ('"a;b;c",d', ",")],
)  # fmt: skip
def test_the_delimiter_of_a_head_line(head, delimiter):
    assert _delimiter(head) == delimiter


@pytest.mark.parametrize(
    ("name", "same"),
    [("a.csv.gz", "a.csv"), ("a.b.csv", "a.csv"), ("x.csv.jsonl", "a.jsonl"), ("a.csv.txt.gz", "a.txt")],
)
def test_the_last_suffix_says_the_format(tmp_path, name, same):
    assert format_of(tmp_path / name) == format_of(tmp_path / same)
    assert format_of(tmp_path / name) is not None


def test_a_line_of_a_text_file_is_its_text_without_the_break(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\n two \n\nlast")
    assert [row.values["text"] for row in read_rows(tmp_path / "a.txt")] == ["one", " two ", "", "last"]


def test_a_drive_is_no_column(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        parse_source("C:prompts.csv")
    assert error.value.where == "C:prompts.csv"
    assert parse_source("org/name:prompt").column == "prompt"


def test_the_nearest_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("prompts.csv", "zebra.csv", "apples.csv"):
        (tmp_path / name).write_text("text\na\n")
    with pytest.raises(InputError, match=r"prompts\.csv"):
        parse_source("promts.csv")


def test_a_class_that_raises_is_a_fault_with_a_reason():
    error = raised(object(), ValueError("no"))
    assert isinstance(error, (CallError, str))
    assert "no" in str(error)
