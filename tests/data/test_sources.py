"""Readers: the layouts that are known, the ways files go wrong, and any bytes at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.paths import reference
from support.timing import least_cpu_seconds

from overt.data.errors import InputError, OvertError
from overt.data.records import Prompt, prompt_id
from overt.data.seeds import read_earlier_prompts, read_seeds
from overt.data.tables import json_values, sources
from overt.data.tables.files import Row
from overt.data.tables.sources import parse_source

REFERENCE = reference() or Path("missing")
needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="the reference data is not here")


def write(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def texts(spec: str) -> list[str]:
    return [seed.text for seed in read_seeds(spec)]


def read_table(spec: str) -> Iterator[Row]:
    return parse_source(spec).rows()


def refused(spec: str) -> str:
    with pytest.raises(InputError) as caught:
        list(read_seeds(spec))
    assert caught.value.exit_code == 2
    return str(caught.value)


def parquet(path: Path, columns: dict[str, list[Any]]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return str(path)


class TestFormats:
    CONTENT = "How do I kill a process?\nTwo lines"

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.csv", 'id,prompt\n1,How do I kill a process?\n2,"Two\nlines"\n'),
            ("bom.csv", b'\xef\xbb\xbfprompt,id\r\nHow do I kill a process?,1\r\n"Two\r\nlines",2\r\n'),
            ("semicolon.csv", 'id;prompt\n1;How do I kill a process?\n2;"Two\nlines"\n'),
            ("a.tsv", "id\tprompt\n1\tHow do I kill a process?\n2\tTwo lines\n"),
            ("a.csv.gz", 'id,prompt\n1,How do I kill a process?\n2,"Two\nlines"\n'),
            ("utf16.csv", 'id,prompt\n1,How do I kill a process?\n2,"Two\nlines"\n'.encode("utf-16")),
            ("a.jsonl", '{"prompt": "How do I kill a process?"}\n\n{"prompt": "Two\\nlines"}'),
            ("strings.jsonl", '"How do I kill a process?"\n"Two lines"\n'),
            ("a.jsonl.gz", '{"prompt": "How do I kill a process?"}\n{"prompt": "Two lines"}\n'),
            (
                "list.json",
                '\n[{"prompt": "How do I kill a process?", "n": [1]},\n {"prompt": "Two lines"}]\n',
            ),
            ("strings.json", '["How do I kill a process?", "Two lines"]'),
            (
                "table.json",
                '{"v": 1, "data": [{"prompt": "How do I kill a process?"}, {"prompt": "Two lines"}]}',
            ),
            ("lines.json", '{"prompt": "How do I kill a process?"}\n{"prompt": "Two lines"}\n'),
            ("a.txt", "How do I kill a process?\n\nTwo lines\n"),
        ],
    )
    def test_reads(self, tmp_path: Path, name: str, content: str | bytes) -> None:
        assert texts(write(tmp_path, name, content)) == ["How do I kill a process?", "Two lines"]

    def test_parquet_without_its_bulky_columns(self, tmp_path: Path) -> None:
        spec = parquet(tmp_path / "a.parquet", {"image": [b"x", b"y"], "prompt": ["one", None], "n": [1, 2]})
        assert [row.values for row in read_table(spec)] == [
            {"prompt": "one", "n": 1},
            {"prompt": None, "n": 2},
        ]
        reader = read_seeds(spec)
        assert [s.text for s in reader] == ["one"]
        assert (reader.rows, reader.empty) == (2, 1)

    def test_a_large_json_list_is_read_in_pieces(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(json_values, "BUFFER", 7)
        rows = [{"prompt": f"prompt “{i}” \\ [x], {{", "n": i} for i in range(200)]
        spec = write(tmp_path, "a.json", json.dumps(rows, indent=1))
        assert [row.values for row in read_table(spec)] == rows
        assert texts(write(tmp_path, "n.json", '[{"prompt":"a","tags":["x","y"]}]')) == ["a"]

    @pytest.mark.parametrize(
        ("name", "head", "row", "tail"),
        [
            ("a.csv", "prompt\n", "one and the same text but long\n", ""),
            ("a.jsonl", "", '{"prompt": "one and the same text but long"}\n', ""),
            ("a.json", "[", '{"prompt": "one and the same text but long"},\n', '{"prompt": ""}]'),
        ],
    )
    def test_memory_does_not_grow_with_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: str, row: str, tail: str
    ) -> None:
        import tracemalloc

        monkeypatch.setattr(json_values, "BUFFER", 1 << 14)

        def peak(rows: int) -> int:
            spec = write(tmp_path, name, head + row * rows + tail)
            tracemalloc.start()
            assert sum(1 for _ in read_table(spec)) == rows + bool(tail)
            size = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return size

        assert peak(40_000) < 2 * peak(4_000)

    def test_a_json_list_takes_no_longer_for_being_longer(self, tmp_path: Path) -> None:
        def seconds(rows: int, enough: float) -> float:
            spec = write(tmp_path, "a.json", "[" + ",".join(['{"prompt": "a text"}'] * rows) + "]")

            def work() -> None:
                assert sum(1 for _ in read_table(spec)) == rows

            return least_cpu_seconds(work, enough)

        # Each row once copied what was left of a buffer of a million characters.
        limit = 25 * seconds(4_000, 0)
        assert seconds(40_000, limit) < limit


class TestSpecs:
    def test_columns_colons_and_drives(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = write(tmp_path, "a:b.csv", "x:y,prompt\n1,2\n")
        assert parse_source(spec).column is None
        assert texts(spec + ":prompt") == ["2"]
        assert texts(spec + ":x:y") == ["1"]
        assert "C:\\seeds\\a.csv: there is no such file" in refused("C:\\seeds\\a.csv:prompt")
        assert "C:\\seeds\\a.csv: there is no such file" in refused("C:\\seeds\\a.csv")
        monkeypatch.chdir(tmp_path)
        write(tmp_path, "plain.csv", "q\nhello\n")
        assert texts("plain.csv:Q") == ["hello"]
        found = parse_source("allenai/wildguardmix@wildguardtrain/train:prompt")
        assert (found.path, found.config, found.split, found.column) == (
            None,
            "wildguardtrain",
            "train",
            "prompt",
        )
        (tmp_path / "org").mkdir()
        assert "did you mean org" not in refused("org").casefold()

    @pytest.mark.parametrize(
        ("name", "content", "column", "expected"),
        [
            ("a.csv", "", "", "the file is empty"),
            ("a.csv", "prompt\n\n \n", "", "holds no text in any of 2 rows"),
            ("a.csv", "id,prompt\n1,a\n", ":promt", "Did you mean a.csv:prompt?"),
            ("a.csv", "x,y\n1,a\n", "", "there are 'x' (number), 'y' (text)"),
            ("a.csv", 'prompt\nok\n"never closed\nmore\n', "", "a.csv, line 3: the row that begins here"),
            ("a.csv", "id,prompt\n1,one, two\n", "", "line 2: this row has 3 fields"),
            ("a.csv", "prompt,prompt\n1,2\n", "", "two columns are named 'prompt'"),
            ("a.csv", b"prompt\nfine\ncaf\xe9\n", "", "a.csv, line 3: these bytes are not UTF-8"),
            ("a.jsonl", '{"prompt": "a"}\n{"prompt": \n', "", "a.jsonl, line 2: this line is not valid JSON"),
            ("a.jsonl", '{"prompt": "a"}\n[1]\n', "", "a.jsonl, line 2: this is a list"),
            ("a.jsonl", '{"prompt": "a"}\n{"prompt": 7}\n', "", "line 2: column 'prompt' holds a number"),
            ("a.jsonl", "[" * 100_000, "", "nested too deep"),
            ("a.json", '[{"prompt": "a"}\n {"prompt": "b"}]', "", "line 2: a comma is missing"),
            ("a.json", '[{"prompt": "a"},\n', "", "the JSON list is never closed"),
            ("a.parquet", "no parquet", "", "not a readable Parquet file"),
            ("a.xlsx", "x", "", ".xlsx is no format that can be read"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_place(
        self, tmp_path: Path, name: str, content: str | bytes, column: str, expected: str
    ) -> None:
        assert expected in refused(write(tmp_path, name, content) + column)

    def test_damaged_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv.gz"
        path.write_bytes(gzip.compress(b"prompt\n" + b"text\n" * 1000)[:-20])
        assert "gzip data is damaged" in refused(str(path))

    def test_a_missing_file_names_its_neighbour(self, tmp_path: Path) -> None:
        write(tmp_path, "seeds.csv", "prompt\na\n")
        assert f"Did you mean {tmp_path / 'seeds.csv'}?" in refused(str(tmp_path / "seed.csv") + ":prompt")
        assert "this is a folder" in refused(str(tmp_path))

    def test_the_hub_offline_and_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert "HF_HUB_OFFLINE is set" in refused("org/name:prompt")
        import datasets

        asked: list[tuple[Any, ...]] = []

        def load(repo: str, config: str | None, *, split: str | None, streaming: bool) -> Any:
            asked.append((repo, config, split, streaming))
            if repo == "org/gated":
                raise OSError("Dataset 'org/gated' is a gated dataset on the Hub.")
            if repo == "org/configs":
                raise ValueError("Config name is missing. Please pick one among: ['a', 'b']")
            if repo == "org/splits":
                return {"x": [], "y": []}
            return [{"prompt": "a", "category": "hate"}, {"prompt": "b", "category": "deception"}]

        monkeypatch.setattr(sources, "hub_answers", lambda: (True, ""))
        monkeypatch.setattr(datasets, "load_dataset", load)
        found = list(read_seeds("bench-llm/or-bench"))
        assert asked == [("bench-llm/or-bench", "or-bench-80k", "train", True)]
        assert [(s.text, s.category, s.source, s.row) for s in found] == [
            ("a", "discrimination", "bench-llm/or-bench", 1),
            ("b", None, "bench-llm/or-bench", 2),
        ]
        assert "accept its terms" in refused("org/gated")
        assert "org/configs@CONFIG/SPLIT" in refused("org/configs")
        assert "several splits: x, y" in refused("org/splits")
        monkeypatch.setitem(sys.modules, "datasets", None)  # as if it were not installed
        assert "needs datasets, which is not installed" in refused("org/any")
        assert "[hub]" in refused("org/any")


class TestLayouts:
    def test_overt_rows_without_a_seed_fall_back_to_the_prompt(self, tmp_path: Path) -> None:
        spec = write(
            tmp_path,
            "o.csv",
            "seed_prompt,benign_image_prompt,unsafe_image_prompt,category,generation_type\n"
            "s1,b1,u1,unethical,converted_from_wildguardmix\ns1,b2,u2,violence,converted_from_wildguardmix\n"
            ",b3,u3,self_harm,direct_generation\n,,u4,self_harm,direct_generation\n",
        )
        reader = read_seeds(spec)
        assert [(s.text, s.category, s.row) for s in reader] == [
            ("s1", "unethical_unsafe_action", 1),
            ("b3", "self_harm", 3),
        ]
        assert (reader.rows, reader.repeated, reader.empty) == (4, 1, 1)
        assert list(read_earlier_prompts(spec)) == ["b1", "u1", "b2", "u2", "b3", "u3", "u4"]

    def test_wildguardmix_gives_its_unharmful_plain_prompts(self, tmp_path: Path) -> None:
        rows = [
            ("plain", False, "unharmful", "violence_and_physical_harm"),
            ("wrapped", True, "unharmful", "benign"),
            ("harmful", False, "harmful", "sexual_content"),
            ("benign", False, "unharmful", "benign"),
        ]
        keys = ("prompt", "adversarial", "prompt_harm_label", "subcategory")
        columns = {key: [row[i] for row in rows] for i, key in enumerate(keys)}
        spec = parquet(tmp_path / "w.parquet", columns)
        reader = read_seeds(spec)
        assert [(s.text, s.category) for s in reader] == [("plain", "violence"), ("benign", None)]
        assert reader.skipped == 2
        assert texts(spec + ":prompt") == ["plain", "wrapped", "harmful", "benign"]

    def test_a_custom_policys_category_is_kept(self, tmp_path: Path) -> None:
        spec = write(tmp_path, "a.csv", "prompt,category\na,Open Wounds\nb,\nc,1st\n")
        assert [s.category for s in read_seeds(spec)] == ["open_wounds", None, None]

    def test_limit_and_repeats(self, tmp_path: Path) -> None:
        spec = write(tmp_path, "a.csv", "prompt\na\na \nb\nc\n")
        reader = read_seeds(spec, limit=2)
        found = list(reader)
        assert [(s.text, s.row) for s in found] == [("a", 1), ("b", 3)]
        assert reader.repeated == 1
        assert list(read_seeds(spec, limit=0)) == []
        assert found[0].id == next(read_seeds(write(tmp_path, "b.txt", "a\n"))).id

    @needs_reference
    def test_the_published_files(self) -> None:
        mini = read_seeds(str(REFERENCE / "overt" / "OVERT_mini.csv"))
        found = list(mini)
        assert (len(found), mini.rows, mini.repeated, mini.empty) == (1131, 1800, 669, 0)
        assert len({s.category for s in found}) == 9
        unsafe = Counter(s.category for s in read_seeds(str(REFERENCE / "overt" / "OVERT_unsafe.csv")))
        assert set(unsafe) == {s.category for s in found}
        assert len(texts(str(REFERENCE / "xstest" / "xstest_prompts.csv"))) == 450
        assert sum(1 for _ in read_earlier_prompts(str(REFERENCE / "overt" / "OVERT_unsafe.csv"))) == 3570


def test_earlier_sets_from_a_folder(tmp_path: Path) -> None:
    from overt.data.export import export_dataset

    prompts = [
        Prompt(prompt_id(t), t, "c", label, "direct", "m", "t")  # type: ignore[arg-type]
        for t, label in (("harmless", "benign"), ("harmful", "unsafe"))
    ]
    export_dataset(tmp_path / "run" / "dataset", prompts[:1], prompts[1:], {})
    expected = ["harmless", "harmful"]
    assert list(read_earlier_prompts(str(tmp_path / "run"))) == expected
    assert list(read_earlier_prompts(str(tmp_path / "run" / "dataset"))) == expected
    unsafe = tmp_path / "run" / "dataset" / "data" / "unsafe.parquet"
    assert list(read_earlier_prompts(str(unsafe))) == expected[1:]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no dataset in this folder"):
        read_earlier_prompts(str(tmp_path / "empty"))


any_bytes = st.one_of(
    st.binary(max_size=200),
    st.text(alphabet='ab,;"\t\n\r\x00[]{}:1é\ud7ff', max_size=60).map(str.encode),
    st.text(max_size=60).map(lambda t: b"prompt,x\n" + t.encode("utf-8", "replace")),
    st.binary(max_size=60).map(lambda b: b"\xff\xfe" + b),
    st.binary(max_size=60).map(lambda b: b"\x1f\x8b\x08" + b),
)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt", "a.parquet"])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=any_bytes)
def test_any_bytes_give_seeds_or_words(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        found = list(read_seeds(str(tmp_path / name)))
    except OvertError as error:
        told, found = error, []
    assert found or name in str(told)
    assert all(s.text.strip() for s in found)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_csv_writes_is_read_back(tmp_path: Path, rows: list[str], delimiter: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "prompt"])
    writer.writerows([[str(i), text] for i, text in enumerate(rows)])
    spec = write(tmp_path, "a.csv", out.getvalue())
    assert [row.values["prompt"] for row in read_table(spec)] == rows


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30))
def test_any_source_is_a_source_or_refused_in_words(spec: str) -> None:
    told = None
    try:
        parse_source(spec)
    except InputError as error:
        told = error
    assert told is None or told.fix
