"""`overt dedupe`: what stays, what goes and why, and what is wrong with files and options."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path

import pytest
from support.near_texts import LATIN, texts_of

from overt.data.errors import InputError
from overt.data.progress import Silent
from overt.tasks.dedupe import DedupeConfig, dedupe


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    texts = [
        "a red fox carrying a brass lamp through a snowy forest",
        "",
        "A red fox, carrying a brass lamp through a snowy forest!",
        "two sailors shooting dice below deck",
        "a red fox carrying a brass lamp through a snowy meadow",
        "two sailors shooting dice below deck",
    ]
    path = tmp_path / "prompts.csv"
    path.write_text("caption,n\n" + "".join(f'"{text}",{n}\n' for n, text in enumerate(texts)), "utf-8")
    return path


@pytest.mark.parametrize("engine", ["memory", "local"])
def test_the_first_stays_and_the_drops_say_why(table: Path, tmp_path: Path, engine: str) -> None:
    config = DedupeConfig.made(
        {"sources": (f"{table}:caption",), "out": tmp_path / "out.jsonl", "drops": tmp_path / "gone.jsonl",
         "engine": engine, "threshold": 0.7}
    )  # fmt: skip
    done = dedupe(config, Silent())
    assert (done.rows, done.kept, done.empty, done.exact, done.near) == (6, 2, 1, 2, 1)
    assert [row["n"] for row in lines(tmp_path / "out.jsonl")] == ["0", "3"]
    gone = lines(tmp_path / "gone.jsonl")
    assert [(row["row"], row["of"], row["reason"]) for row in gone] == [
        (f"{table}, line 4", f"{table}, line 2", "exact repeat"),
        (f"{table}, line 6", f"{table}, line 2", "near repeat"),
        (f"{table}, line 7", f"{table}, line 5", "exact repeat"),
    ]
    assert 0.7 < gone[1]["similarity"] < 0.9  # type: ignore[operator]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gone.jsonl", "out.jsonl", "prompts.csv"]


def test_both_ways_give_the_same_file_of_several(tmp_path: Path) -> None:
    texts = texts_of(600, 5, LATIN)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts[:200]), "utf-8")
    (tmp_path / "b.txt").write_text("\n".join(texts[200:]), "utf-8")
    sources = (str(tmp_path / "a.jsonl"), str(tmp_path / "b.txt"))
    for engine in ("memory", "local"):
        config = DedupeConfig.made({"sources": sources, "out": tmp_path / f"{engine}.out", "engine": engine})
        done = dedupe(config, Silent())
        assert 100 < done.kept < 500
    assert (tmp_path / "memory.out").read_bytes() == (tmp_path / "local.out").read_bytes()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"out": "prompts.csv"}, "--out would overwrite"),
        ({"drops": "prompts.csv"}, "--drops would overwrite"),
        ({"drops": "out.jsonl"}, "are the same file"),
        ({"out": "out.parquet"}, "--out is written as JSON lines"),
        ({"out": "out.jsonl.gz"}, "--out is written as JSON lines"),
        ({"drops": "gone.CSV"}, "--drops is written as JSON lines"),
        ({"engine": "local", "encoder": "minilm"}, "compares words and letters alone"),
        ({"engine": "elsewhere"}, "engine"),
        ({"threshold": 0.0}, "at least 0.05"),
        ({"sources": ("prompts.csv:title",)}, "title"),
        ({"sources": ("nowhere.csv",)}, "nowhere"),
        ({"encoder": "nonsense"}, "neither a folder nor a Hub id"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, object], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = table.read_bytes()
    given = {"sources": ("prompts.csv:caption",), "out": "out.jsonl", **values}
    with pytest.raises(InputError, match=said):
        dedupe(DedupeConfig.made(given), Silent())
    assert table.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.csv"]


@pytest.mark.parametrize("engine", ["memory", "local"])
def test_a_row_of_a_million_characters_among_few(tmp_path: Path, engine: str) -> None:
    long = "x y z " * 170_000
    texts = [long, *texts_of(6, 1, LATIN), long]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), "utf-8")
    config = DedupeConfig.made(
        {"sources": (str(tmp_path / "a.jsonl"),), "out": tmp_path / "out.jsonl", "engine": engine}
    )
    start = time.process_time()
    dedupe(config, Silent())
    assert time.process_time() - start < 6  # 0.5 s; once it took minutes
    assert sum(row["text"] == long for row in lines(tmp_path / "out.jsonl")) == 1


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_ray_is_an_extra(table: Path, tmp_path: Path) -> None:
    config = DedupeConfig.made({"sources": (f"{table}:caption",), "out": tmp_path / "o", "engine": "ray"})
    with pytest.raises(InputError, match="needs ray"):
        dedupe(config, Silent())
