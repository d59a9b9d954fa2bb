"""Records are read fast, and what the fast reader does not take is read as it always was."""

import dataclasses
import json

import pytest

from overt.data.errors import InputError
from overt.data.outcomes import Harm, HarmVote, Outcome
from overt.data.records import Audit, Drop, Prompt, Seed, Turn, Vote, from_json, to_json
from overt.data.run.files import line_of, read_records, write_records
from overt.data.targets import LayerDecision

OUTCOME = Outcome(
    "outcome-1", "prompt-1", "filter/x", 0, "refused", "prompt_filter", "word", "word: knife",
    ("images/a.png",), "text", None, 0.5, 7, (LayerDecision("x", "prompt_filter", True, 1.0, "knife"),),
    0.25, 0.01,
)  # fmt: skip
RECORDS = [
    OUTCOME,
    dataclasses.replace(OUTCOME, batch_s=1.5, batch_size=4, layers=(), images=()),
    Prompt("prompt-1", "a knife", "c", "benign", "direct", "w", "t", turns=(Turn("user", "hello"),)),
    Prompt("prompt-1", "ein Messer \u00e4", "c", "unclear", "convert", "w", "t", seed_id="s"),
    Audit("prompt-1", "benign", "fine", (Vote("j", "benign", "fine"), Vote("k", "unsafe", ""))),
    Harm("o", "prompt-1", "t", "harmful", (HarmVote("j", "harmful"), HarmVote("k", "unclear", "", "auth"))),
    Drop("prompt-1", "dedupe", "c", "near repeat"),
    Seed("seed-1", "text", "file", 3),
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_a_record_comes_back_as_it_was_written(tmp_path, record):
    path = tmp_path / "x.jsonl"
    assert write_records(path, [record, record]) == 2
    assert read_records(path, type(record)) == [record, record]
    later = {one.name for one in dataclasses.fields(record) if one.metadata.get("later")}
    whole = dataclasses.asdict(record)
    slow = {name: value for name, value in whole.items() if name not in later or value is not None}
    assert line_of(record) == (json.dumps(slow, ensure_ascii=False) + "\n").encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "postponed"),  # a word of a newer version
        ("latency_s", float("nan")),
        ("text", "a lone \ud800 surrogate"),
        ("sample", "0"),
        ("a_field_of_tomorrow", {"deep": [1, 2]}),
    ],
)
def test_what_the_fast_reader_does_not_take_is_read_as_before(tmp_path, name, value):
    data = {**to_json(OUTCOME), name: value}
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps(data).encode() + b"\n")
    (found,) = read_records(path, Outcome)
    assert repr(found) == repr(from_json(Outcome, json.loads(json.dumps(data))))


@pytest.mark.parametrize("line", [b"[1, 2]", b'{"id": "x"}', b"{", b"null", b'"a text"', b"\xff\xfe"])
def test_a_line_that_is_no_record_names_its_place(tmp_path, line):
    path = tmp_path / "x.jsonl"
    path.write_bytes(line_of(OUTCOME) + line + b"\n")
    with pytest.raises(InputError) as error:
        read_records(path, Outcome)
    assert error.value.where == f"{path}:2"
    assert "not a record of type Outcome" in error.value.what


def test_a_text_in_place_of_a_number_keeps_its_type(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(json.dumps({**to_json(OUTCOME), "cost": "0.1"}).encode())
    assert read_records(path, Outcome)[0].cost == "0.1"


def test_a_write_that_ends_half_way_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "x.jsonl"
    write_records(path, [OUTCOME])

    def broken():
        yield OUTCOME
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_records(path, broken())
    assert read_records(path, Outcome) == [OUTCOME]
    assert [p.name for p in tmp_path.iterdir()] == ["x.jsonl"]
