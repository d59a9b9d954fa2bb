"""The dataset on disk: it loads untouched, it is the same bytes again, and hostile text stays text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from overt.data.errors import RunError
from overt.data.export import COLUMNS, escape_markdown, export_dataset, render_card
from overt.data.records import Audit, Probe, Prompt, Vote, prompt_id

HOSTILE = (
    "x | y `code` <script>alert(1)</script>\n# head\n---\n![i](http://e.vil/p.png) [l](javascript:x) "
    "@someone www.evil.example {{ 7*7 }} {% raise %} \u202egnp.exe \ud800 **b** _i_ ~~s~~ $x$ \\"
)


def prompt(text: str, label: str = "benign", **more: str) -> Prompt:
    return Prompt(
        prompt_id(text), text, more.pop("category", "violence"), label, "direct", "m/x", "t@1", **more
    )  # type: ignore[arg-type]


BENIGN = [prompt("a shot of espresso", trigger="shot", pair_id="p1"), prompt("a bath bomb", trigger="bomb")]
UNSAFE = [prompt("a shot that kills", "unsafe", trigger="shot", pair_id="p1")]


def test_datasets_loads_it_untouched(tmp_path: Path) -> None:
    audit = Audit(BENIGN[0].id, "benign", "coffee", (Vote("a/b", "benign", "r"), Vote("c/d", "benign", "s")))
    probe = Probe(BENIGN[0].id, "s/m", 8, 8, 2)
    folder = tmp_path / "dataset"
    paths = export_dataset(
        folder, BENIGN, UNSAFE, {}, audits={audit.prompt_id: audit}, probes={probe.prompt_id: probe}
    )
    assert [p.relative_to(folder).as_posix() for p in paths] == [
        "benign.jsonl",
        "data/benign.parquet",
        "unsafe.jsonl",
        "data/unsafe.parquet",
        "README.md",
    ]
    from datasets import load_dataset

    cache = str(tmp_path / "cache")
    loaded = load_dataset(str(folder), "benign", split="test", cache_dir=cache)
    assert loaded.column_names == [name for name, _ in COLUMNS]
    lines = [json.loads(line) for line in (folder / "benign.jsonl").read_text(encoding="utf-8").splitlines()]
    assert loaded.to_list() == lines
    assert lines[0]["judges"] == ["a/b", "c/d"]
    assert (lines[0]["probe_rate"], lines[0]["audit_reason"], lines[0]["pair_id"]) == (0.25, "coffee", "p1")
    assert (lines[1]["probe_rate"], lines[1]["judges"], lines[1]["style"]) == (None, None, None)
    unsafe = load_dataset(str(folder), "unsafe", cache_dir=cache)
    assert [row["label"] for row in unsafe["test"]] == ["unsafe"]
    assert not [p for p in folder.rglob("*") if p.name.endswith(".tmp")]


def test_the_configs_keep_the_shape_that_other_tools_read(tmp_path: Path) -> None:
    """`load_dataset(folder, "benign", split="test")`, promptfoo's `huggingface://datasets/ORG/NAME` with
    `?config=benign&split=test`, and whoever names columns: none of these names and types may change."""
    export_dataset(tmp_path / "d", BENIGN, UNSAFE, {})
    head = (tmp_path / "d" / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert yaml.safe_load(head)["configs"] == [
        {"config_name": name, "data_files": [{"split": "test", "path": f"data/{name}.parquet"}]}
        for name in ("benign", "unsafe")
    ]
    from datasets import List, Value, load_dataset

    cache = str(tmp_path / "cache")
    for name in ("benign", "unsafe"):
        loaded = load_dataset(str(tmp_path / "d"), name, cache_dir=cache)
        assert list(loaded) == ["test"]
        assert loaded["test"].features == {
            **dict.fromkeys(
                (
                    *(
                        "id",
                        "text",
                        "category",
                        "label",
                        "trigger",
                        "strategy",
                        "language",
                        "style",
                        "seed_id",
                    ),
                    *("pair_id", "writer", "template", "audit_label", "audit_reason", "probe_surrogate"),
                ),
                Value("string"),
            ),
            "judges": List(Value("string")),
            "probe_rate": Value("float64"),
        }


def test_folders_of_one_name_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """Every run's data set lies in a folder called dataset, and `datasets` caches by that name."""
    from datasets import load_dataset

    found = []
    for run, prompts in (("a", BENIGN), ("b", BENIGN[1:]), ("c", [prompt("a bath bulb", trigger="bulb")])):
        export_dataset(tmp_path / run / "dataset", prompts, [], {})
        data = load_dataset(
            str(tmp_path / run / "dataset"), "benign", split="test", cache_dir=str(tmp_path / "cache")
        )
        found.append(data["text"][:])
    assert found == [["a shot of espresso", "a bath bomb"], ["a bath bomb"], ["a bath bulb"]]


def test_an_empty_side_is_written_and_not_offered(tmp_path: Path) -> None:
    paths = export_dataset(tmp_path / "d", BENIGN, [], {})
    from datasets import load_dataset
    from pyarrow.parquet import read_table

    cache = str(tmp_path / "cache")
    assert len(load_dataset(str(tmp_path / "d"), "benign", split="test", cache_dir=cache)) == 2
    with pytest.raises(ValueError, match=r"'unsafe' not found. Available: \['benign'\]"):
        load_dataset(str(tmp_path / "d"), "unsafe", cache_dir=cache)
    assert read_table(paths[3]).num_rows == 0
    assert '"unsafe"' not in paths[4].read_text(encoding="utf-8")


def test_same_records_same_bytes(tmp_path: Path) -> None:
    card = {"name": "n", "policy": {"name": "overt", "hash": "ab"}, "diversity": {"distinct-2": 0.61}}
    first = export_dataset(tmp_path / "a", BENIGN, UNSAFE, card)
    second = export_dataset(tmp_path / "b", BENIGN, UNSAFE, card)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    third = export_dataset(tmp_path / "c", BENIGN[::-1], UNSAFE, card)
    assert third[0].read_bytes() != first[0].read_bytes()


def test_the_card_says_what_a_reader_must_know() -> None:
    card = {
        "policy": {"name": "overt", "version": "1", "hash": "abcd", "modality": "image"},
        "audited": False,
        "same_model": True,
        "dedupe": {"similarity": "jaccard", "index": "exact Jaccard", "why": "the Hub is away"},
        "stage_columns": ["category", "synthesize", "dedupe"],
        "stages": [["violence", "9 > 9", "9 > 3"]],
        "surrogate": "openai/x",
        "license": "cc-by-4.0",
    }
    text = render_card(BENIGN, UNSAFE, card)
    for expected in (
        "No model has audited these prompts",
        "the same model as the writer",
        "by shared words, not by meaning (the Hub is away)",
        "| violence | 2 | 1 | 1 | 2 |",
        "| all | 2 | 1 | 1 | 2 |",
        "| violence | 9 &gt; 9 | 9 &gt; 3 |",
        "| Written by | m/x |",
        "| Probed on | openai/x |",
        "overt 1 (hash abcd)",
        "## Intended use",
        "## Risks and limits",
    ):
        assert expected in text
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "cc-by-4.0"
    assert [c["config_name"] for c in head["configs"]] == ["benign", "unsafe"]
    clean = render_card(BENIGN, UNSAFE, {"audited": True, "judges": ["a/b"]})
    assert "> **Note.**" not in clean
    assert "| Audited by | a/b |" in clean


def test_a_slip_in_the_cards_keys_is_no_silence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown card keys: polcy"):
        export_dataset(tmp_path, BENIGN, UNSAFE, {"polcy": {}})


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    bad = prompt(HOSTILE, category=HOSTILE, trigger=HOSTILE, style=HOSTILE)
    card = {
        "name": HOSTILE,
        "policy": {"name": HOSTILE, "version": HOSTILE, "hash": HOSTILE},
        "notes": [HOSTILE],
        "stages": [[HOSTILE]],
        "stage_columns": [HOSTILE],
        "command": HOSTILE,
    }
    plain = render_card([prompt("x", category="c")], [], {**card, **dict.fromkeys(("name", "command"), "x")})
    text = render_card([bad], [], card)
    body = text.split("---\n", 2)[2]
    assert "<script" not in body
    assert "http://" not in body
    assert "www." not in body
    assert "\u202e" not in body
    assert "{{ 7" not in body  # braces are escaped, so no second template pass could run it either
    assert not re.search(r"(?<!\\)[`]code", body)
    assert not re.search(r"(?<!\\)\[l", body)
    assert body.count("\n#") == plain.split("---\n", 2)[2].count("\n#")
    for line in body.splitlines():
        if line.startswith("|") and "code" in line:
            assert len(re.findall(r"(?<!\\)\|", line)) in (2, 3, 6)
    head = yaml.safe_load(text.split("---\n")[1])
    assert set(head) >= {"pretty_name", "configs"}
    from datasets import load_dataset

    export_dataset(tmp_path / "d", [bad], [], card)
    row = load_dataset(str(tmp_path / "d"), "benign", split="test", cache_dir=str(tmp_path / "c"))[0]
    assert row["text"] == HOSTILE.replace("\ud800", "?")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_escaped_text_is_one_line_without_markup(text: str) -> None:
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    assert "\r" not in escaped
    assert not re.search(r"(?<!\\)(\\\\)*[|`*\[\]<>]", escaped)
    assert not escaped.startswith(("- ", "+ ", "# ", "="))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_the_cards_head_is_yaml_whatever_the_name(name: str, language: str) -> None:
    text = render_card([prompt("a", language=language)], [], {"name": name, "license": name})
    assert text.startswith("---\n")
    head, _, _ = text[4:].partition("\n---\n")
    assert yaml.safe_load(head)["configs"][0]["data_files"][0]["path"] == "data/benign.parquet"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"cannot write benign\.jsonl"):
        export_dataset(tmp_path / "file" / "dataset", BENIGN, UNSAFE, {})


@pytest.mark.parametrize(
    ("asks_for", "said", "task"),
    [
        ("text", "for text models", "text-generation"),
        ("image", "for text-to-image models", "text-to-image"),
        ("edit", "for image-editing models", "image-to-image"),
    ],
)
def test_the_card_says_what_the_prompts_are_for(tmp_path: Path, asks_for: str, said: str, task: str) -> None:
    export_dataset(tmp_path, BENIGN, UNSAFE, {"policy": {"name": "p", "modality": asks_for}})
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert said in card
    assert yaml.safe_load(card.split("---\n")[1])["task_categories"] == [task]
