"""The one resolver of columns: the same tables read by every consumer, and its errors."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from overt.data.errors import InputError
from overt.data.labels import read_labels
from overt.data.prompts import read_prompts
from overt.data.seeds import EARLIER_PROMPT, SEED, read_earlier_prompts, read_seeds
from overt.data.suites.load import load_suite, read_suite
from overt.data.tables.attacks import ATTACK, DRESSED, VANILLA
from overt.data.tables.columns import CATEGORY, TEXTS, Column, Role, Table
from overt.data.tables.files import Row
from overt.data.tables.layouts import LAYOUTS, kind_of
from overt.data.tables.sources import parse_source

ROWS = [
    {
        "id": 1,
        "prompt": "How to kill a process?",
        "category": "violence",
        "label": "safe",
        "response": "Sure",
    },
    {"id": 2, "prompt": "How to kill a man?", "category": "violence", "label": "unsafe", "response": "No"},
]
TEXT = [str(row["prompt"]) for row in ROWS]


def csv_file(path: Path, rows: list[dict[str, object]], encoding: str = "utf-8") -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))
    return str(path)


def jsonl_file(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def parquet_file(path: Path, rows: list[dict[str, object]]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


# What each consumer makes of a table: its texts.
CONSUMERS: dict[str, Callable[[str], list[str]]] = {
    "seeds": lambda spec: [seed.text for seed in read_seeds(spec)],
    "earlier sets": lambda spec: list(read_earlier_prompts(spec)),
    "prompts": lambda spec: [prompt.text for prompt in read_prompts([spec], label="benign").prompts],
    "suites": lambda spec: [p.text for p in read_suite(load_suite("or_bench_80k"), [spec]).prompts],
}
consumers = pytest.mark.parametrize("consumer", CONSUMERS)


def error_of(consumer: str, spec: str) -> InputError:
    with pytest.raises(InputError) as caught:
        CONSUMERS[consumer](spec)
    return caught.value


# ---- what may differ between two tables that mean the same


def reordered(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [dict(reversed(row.items())) for row in rows]


def capitalised(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name.capitalize(): value for name, value in row.items()} for row in rows]


@consumers
@pytest.mark.parametrize("changed", [list, reordered, capitalised])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_order_case_and_byte_order_mark_change_nothing(
    tmp_path: Path, consumer: str, changed: Callable[..., list[dict[str, object]]], encoding: str
) -> None:
    assert CONSUMERS[consumer](csv_file(tmp_path / "a.csv", changed(ROWS), encoding)) == TEXT


@pytest.mark.parametrize("changed", [list, reordered, capitalised])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_nor_for_human_labels(
    tmp_path: Path, changed: Callable[..., list[dict[str, object]]], encoding: str
) -> None:
    rows = [{**row, "label": "compliance", "path": "x.png"} for row in ROWS]
    found = read_labels(Path(csv_file(tmp_path / "a.csv", changed(rows), encoding)), {})
    assert [(r.prompt, r.answer, r.label) for r in found.rows] == [
        (TEXT[0], "Sure", "compliance"),
        (TEXT[1], "No", "compliance"),
    ]
    assert found.kind == "text"  # a column called "path" makes no pictures of answers


def test_prompts_take_label_and_category_with_them(tmp_path: Path) -> None:
    found = read_prompts([csv_file(tmp_path / "a.csv", capitalised(reordered(ROWS)))]).prompts
    assert [(p.label, p.category) for p in found] == [("benign", "violence"), ("unsafe", "violence")]


# ---- columns of lists, messages and objects

USER = {"role": "user", "content": "How to kill a process?"}
OTHERS = {"category": "violence"}


@consumers
@pytest.mark.parametrize(
    "value",
    [
        [USER],
        [{"from": "human", "value": "How to kill a process?"}],
        ["How to kill a process?"],
    ],
)
def test_one_turn_is_a_text(tmp_path: Path, consumer: str, value: object) -> None:
    spec = jsonl_file(tmp_path / "a.jsonl", [{"prompt": value, **OTHERS}])
    assert CONSUMERS[consumer](spec) == TEXT[:1]


@consumers
@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ([USER, {"role": "assistant", "content": "So"}], "chat messages", "2 turns"),
        ([{"role": "assistant", "content": "So"}], "chat messages", "1 turns"),
        (["a", "b"], "list", "2 turns"),
        ([], "list", "0 turns"),
        (7, "number", "a number"),
        (True, "truth value", "a truth value"),
        ({"en": 1}, "object", "an object"),
    ],
)
def test_what_is_no_text_is_named_with_line_column_and_kinds(
    tmp_path: Path, consumer: str, value: object, kind: str, says: str
) -> None:
    rows = [{"prompt": "a text", **OTHERS}, {"prompt": value, **OTHERS, "words": "b text"}]
    error = error_of(consumer, jsonl_file(tmp_path / "a.jsonl", rows))
    assert error.where.endswith("a.jsonl, line 2")
    assert "column 'prompt'" in error.what
    assert says in error.what
    assert f"'prompt' ({kind}" in error.what
    assert "'words' (text)" in error.what


@consumers
def test_a_nested_prompt_is_named_by_its_field(tmp_path: Path, consumer: str) -> None:
    rows = [{"Prompt": {"toxicity": 0.1, "text": text}, **OTHERS} for text in TEXT]
    spec = jsonl_file(tmp_path / "a.jsonl", rows)
    error = error_of(consumer, spec)
    assert "'Prompt' (object with 'toxicity', 'text')" in error.what
    assert "a.jsonl:Prompt.text" in error.fix
    assert CONSUMERS[consumer](spec + ":Prompt.text") == TEXT
    assert CONSUMERS[consumer](spec + ":prompt.text") == TEXT
    assert "no column 'Prompt.words'" in error_of(consumer, spec + ":Prompt.words").what


def test_a_column_whose_own_name_has_a_dot_comes_first(tmp_path: Path) -> None:
    rows = [{"prompt.text": "flat", "prompt": {"text": "nested"}}]
    assert list(read_earlier_prompts(jsonl_file(tmp_path / "a.jsonl", rows) + ":prompt.text")) == ["flat"]


def test_lists_and_pictures_in_parquet_are_named_and_not_read(tmp_path: Path) -> None:
    rows = [{"talk": [USER], "shot": {"bytes": b"\x89PNG", "path": "a"}, "raw": b"x", "n": 1, "tags": ["a"]}]
    spec = parquet_file(tmp_path / "a.parquet", rows)
    (row,) = parse_source(spec).rows()
    assert row.values == {"n": 1}
    error = error_of("seeds", spec + ":talk")
    assert error.where.endswith("a.parquet, row 1")
    assert "JSONL" in error.fix
    for said in ("'talk' (chat messages", "'shot' (image bytes", "'raw' (bytes, binary", "'tags' (list"):
        assert said in error.what


# ---- which of several columns


@pytest.mark.parametrize("write", [csv_file, jsonl_file, parquet_file])
def test_a_seed_of_a_random_generator_is_no_text(tmp_path: Path, write: Callable[..., str]) -> None:
    rows = [{"seed": 41 + i, "prompt": text, "steps": 50} for i, text in enumerate(TEXT)]
    assert CONSUMERS["seeds"](write(tmp_path / f"a.{write.__name__.split('_')[0]}", rows)) == TEXT
    # Where no column fits better, a text of digits is a text.
    assert CONSUMERS["seeds"](csv_file(tmp_path / "b.csv", [{"prompt": "7", "n": 1}])) == ["7"]


def test_of_two_candidates_the_usual_order_decides(tmp_path: Path) -> None:
    spec = csv_file(tmp_path / "a.csv", [{"prompt": "p", "text": "t", "label": "safe"}])
    assert CONSUMERS["seeds"](spec) == ["p"]
    assert CONSUMERS["earlier sets"](spec) == CONSUMERS["prompts"](spec) == ["t"]
    for consumer in ("seeds", "earlier sets", "prompts"):
        assert CONSUMERS[consumer](spec + ":text") == ["t"]
        assert CONSUMERS[consumer](spec + ":PROMPT") == ["p"]


@pytest.mark.parametrize("consumer", ["seeds", "earlier sets", "prompts"])
@pytest.mark.parametrize("write", [csv_file, jsonl_file, parquet_file])
def test_without_a_candidate_the_columns_are_named(
    tmp_path: Path, consumer: str, write: Callable[..., str]
) -> None:
    rows: list[dict[str, object]] = [{"n": 1, "first words": "a", "other": "b"}]
    error = error_of(consumer, write(tmp_path / f"a.{write.__name__.split('_')[0]}", rows))
    assert re.search(r"a\.\w+, (line|row) \d", error.where)
    assert "'n' (number), 'first words' (text), 'other' (text)" in error.what
    assert re.search(r"'a\.\w+:first words'", error.fix)  # as a shell takes it


def test_the_only_column_is_taken(tmp_path: Path) -> None:
    spec = csv_file(tmp_path / "a.csv", [{"whatever": text} for text in TEXT])
    for consumer in ("seeds", "earlier sets", "prompts"):
        assert CONSUMERS[consumer](spec) == TEXT


@consumers
def test_a_column_that_is_not_there(tmp_path: Path, consumer: str) -> None:
    spec = csv_file(tmp_path / "a.csv", ROWS)
    error = error_of(consumer, spec + ":promt")
    assert "no column 'promt'" in error.what
    assert "'prompt' (text)" in error.what
    assert "a.csv:prompt" in error.fix


def test_missing_columns_of_labels_are_named_with_an_example_each(tmp_path: Path) -> None:
    path = Path(csv_file(tmp_path / "a.csv", [{"prompt": "p", "reply": "r", "verdict": "refusal"}]))
    with pytest.raises(InputError) as caught:
        read_labels(path, {})
    assert caught.value.where.endswith("a.csv, line 2")
    assert "'reply' (text), 'verdict' (text)" in caught.value.what
    options = re.findall(r"--(\w+)-column (\w+)", caught.value.fix)
    assert {option for option, _ in options} == {"label", "answer"}
    assert {column for _, column in options} == {"reply", "verdict"}
    given = {"answer": "reply", "label": "Verdict"}
    assert [row.label for row in read_labels(path, given).rows] == ["refusal"]


def test_a_hostile_name_is_shown_and_not_printed(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"\x1b[31m$(id)": "a", "b": "c"}]
    told = str(error_of("seeds", jsonl_file(tmp_path / "a.jsonl", rows)))
    assert "\x1b" not in told
    assert "x1b[31m$(id)" in told
    rows = [{"$(id)": "a", "n": 1}]
    assert "'b.jsonl:$(id)'" in error_of("seeds", jsonl_file(tmp_path / "b.jsonl", rows)).fix


# ---- labels: numbers, truth values, strings


@pytest.mark.parametrize("column", ["label", "is_unsafe", "Harmful", "prompt_harm_label"])
@pytest.mark.parametrize(
    "values",
    [(0, 1), (0.0, 1.0), (False, True), ("0", "1"), ("False", "TRUE"), ("0.0", "1.0"), (" Safe ", "Unsafe")],
)
def test_labels_of_prompts(tmp_path: Path, column: str, values: tuple[object, object]) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": t, column: value} for t, value in zip(TEXT, values, strict=True)
    ]
    for spec in (csv_file(tmp_path / "a.csv", rows), jsonl_file(tmp_path / "a.jsonl", rows)):
        assert [p.label for p in read_prompts([spec]).prompts] == ["benign", "unsafe"]


@pytest.mark.parametrize(("value", "said"), [(None, "''"), ("maybe", "'maybe'"), (2, "'2'"), ("", "''")])
def test_a_label_that_says_neither(tmp_path: Path, value: object, said: str) -> None:
    spec = jsonl_file(
        tmp_path / "a.jsonl", [{"prompt": "a", "label": "safe"}, {"prompt": "b", "label": value}]
    )
    with pytest.raises(InputError) as caught:
        read_prompts([spec])
    assert "line 2, column 'label'" in caught.value.where
    assert said in caught.value.what
    assert [p.label for p in read_prompts([spec], label="unsafe").prompts] == ["benign", "unsafe"]


@pytest.mark.parametrize(
    "values", [(0, 1), (False, True), (0.0, 1.0), ("0", "1"), ("no", "yes"), ("Safe", "NSFW")]
)
def test_labels_of_pictures(tmp_path: Path, values: tuple[object, object]) -> None:
    rows: list[dict[str, object]] = [{"image": "a.png", "label": value} for value in (*values, None)]
    for spec in (csv_file(tmp_path / "a.csv", rows), jsonl_file(tmp_path / "a.jsonl", rows)):
        found = read_labels(Path(spec), {})
        assert [row.label for row in found.rows] == ["allowed", "blocked"]
        assert found.dropped == 1
        assert found.rows[0].image == tmp_path / "a.png"


def test_an_unknown_label_is_told_with_its_column(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"prompt": "p", "response": "r", "final_label": 3}]
    with pytest.raises(InputError) as caught:
        read_labels(Path(jsonl_file(tmp_path / "a.jsonl", rows)), {})
    assert "line 1, column 'final_label'" in caught.value.where
    assert "'3'" in caught.value.what


def test_answers_may_be_numbers_and_not_lists(tmp_path: Path) -> None:
    good: dict[str, object] = {"prompt": [USER], "response": 42, "label": "compliance"}
    (row,) = read_labels(Path(jsonl_file(tmp_path / "a.jsonl", [good])), {}).rows
    assert (row.prompt, row.answer) == (TEXT[0], "42")
    with pytest.raises(InputError, match="column 'response' holds 2 turns") as caught:
        read_labels(Path(jsonl_file(tmp_path / "b.jsonl", [{**good, "response": ["a", "b"]}])), {})
    assert "--answer-column " in caught.value.fix


def test_a_picture_in_the_table_gives_way_to_its_path(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"image": {"bytes": "x"}, "path": "a.png", "label": "safe"}]
    (row,) = read_labels(Path(jsonl_file(tmp_path / "a.jsonl", rows)), {}).rows
    assert row.image == tmp_path / "a.png"


# ---- the parts


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("words", "text"),
        ("12 monkeys", "text"),
        ("nan", "text"),
        ("12", "number"),
        (" -1.5e3 ", "number"),
        (3, "number"),
        (0.5, "number"),
        (True, "truth value"),
        (None, "empty"),
        ("", "empty"),
        (float("nan"), "empty"),
        (["a"], "list"),
        ([], "list"),
        ([USER], "chat messages"),
        ([USER, "a"], "list"),
        ([{"from": "gpt", "value": "x"}], "chat messages"),
        ({"a": 1}, "object"),
        (b"\x89PNG", "image bytes"),
        ({"bytes": b"x", "path": None}, "image bytes"),
        (object(), "other"),
    ],
)
def test_kinds(value: object, kind: str) -> None:
    assert kind_of(value) == kind


def test_a_picture_of_the_hub_is_a_picture() -> None:
    from PIL import Image

    assert kind_of(Image.new("RGB", (1, 1))) == "image bytes"


def test_layouts_are_written_as_they_are_compared() -> None:
    for layout in LAYOUTS:
        columns = {*layout.needs, *layout.label, *layout.not_seeds, *sum(layout.columns.values(), ())}
        names = {*layout.first_category, *layout.categories}
        assert all(name == name.casefold().strip() for name in columns)
        assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
        roles = (SEED, EARLIER_PROMPT, CATEGORY, VANILLA, DRESSED, ATTACK)
        assert set(layout.columns) <= {role.name for role in roles}


def test_given_then_layout_then_usual_names() -> None:
    values: dict[str, object] = {"text": "t", "seed_prompt": "", "Image_Prompt": "i", "category": "Odd One"}
    table = Table(Row(1, "a.csv, line 2", values), "a.csv")
    assert [c.name for c in table.columns(SEED)] == ["seed_prompt", "Image_Prompt"]
    assert [c.name for c in table.columns(SEED, "TEXT")] == ["text"]
    assert [c.name for c in table.columns(EARLIER_PROMPT)] == ["text"]
    assert table.columns(Role("answer", ("response",), TEXTS)) == []
    assert not table.column(Role("answer", ("response",), TEXTS))
    assert Column().words(Row(1, "", {"": "x"})) == ""


def test_a_source_of_several_tables(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    for name in ("unsafe", "benign"):
        jsonl_file(tmp_path / "dataset" / f"{name}.jsonl", [{"text": name}])
    jsonl_file(tmp_path / "other.jsonl", [{"text": "other"}])
    tables = parse_source(f"{tmp_path}:text").tables()
    assert [(t.name, t.column) for t in tables] == [("benign.jsonl", "text"), ("unsafe.jsonl", "text")]
    assert [p.label for p in read_prompts([str(tmp_path)]).prompts] == ["benign", "unsafe"]
    (alone,) = parse_source(str(tmp_path / "other.jsonl")).tables()
    assert alone.path == tmp_path / "other.jsonl"
