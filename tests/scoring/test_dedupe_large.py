"""Dedupe by files: what stays is what stays in memory, here and by Ray Data."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.near_texts import LATIN, OTHER, many_alike, texts_of

from overt.data.errors import InputError, RunError
from overt.data.records import Prompt
from overt.scoring.dedupe import dedupe
from overt.scoring.dedupe_large import steps
from overt.scoring.dedupe_large.engines import Engine, Local, Ray
from overt.scoring.dedupe_large.search import Found, find_repeats
from overt.scoring.neighbours import finder as finders

HAS_RAY = importlib.util.find_spec("ray") is not None


def with_repeats(count: int, seed: int) -> list[str]:
    """Near texts, of which some are there again in other letters or marks."""
    rng = random.Random(seed)
    texts = texts_of(count * 9 // 10, seed, LATIN + OTHER * 3)
    texts += [rng.choice(texts).upper() + rng.choice("!?.") for _ in range(count - len(texts))]
    rng.shuffle(texts)
    return texts


def kept_in_memory(texts: Sequence[str], threshold: float) -> list[int]:
    prompts = [Prompt(str(n), text, "c", "benign", "direct", "m", "t") for n, text in enumerate(texts)]
    result = dedupe(prompts, threshold_of=lambda _: threshold, encoder=None)
    return [int(prompt.id) for prompt in result.kept]


def kept_of(found: Found) -> list[int]:
    return [row for row in range(found.count) if row not in found.repeats and row not in found.near]


@pytest.mark.parametrize(
    "engine",
    ["local", pytest.param("ray", marks=pytest.mark.skipif(not HAS_RAY, reason="needs the extra [ray]"))],
)
def test_three_parts_keep_what_memory_keeps(engine: str, tmp_path: Path) -> None:
    texts = with_repeats(20_000, 1)
    chosen: Engine = Ray() if engine == "ray" else Local()
    found = find_repeats(texts, 0.7, tmp_path, chosen, part=7_000)
    assert kept_of(found) == kept_in_memory(texts, 0.7)
    assert len(list(tmp_path.glob("hashes-*.parquet"))) == 3
    assert len(found.repeats) > 1_000
    assert len(found.near) > 1_000
    for row, match in list(found.near.items())[:200]:
        assert match.row < row
        assert match.score >= 0.7 - 1e-6


def test_what_is_found_does_not_depend_on_the_parts(tmp_path: Path) -> None:
    texts = [*with_repeats(900, 2), "", "...", "", "\ud800", "x " * 5_000]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = find_repeats(texts, 0.6, tmp_path / "one", Local())
    many = find_repeats(texts, 0.6, tmp_path / "many", Local(), part=300)
    assert one == many
    assert one.repeats[902] == 900
    assert kept_of(one) == kept_in_memory(texts, 0.6)


def test_many_alike_are_taken_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finders, "_MOST_PER_ROW", 40)
    texts = many_alike(400, 30, 3)
    found = find_repeats(texts, 0.7, tmp_path, Local(), part=150)
    assert steps.all_pairs(tmp_path) is None
    assert kept_of(found) == kept_in_memory(texts, 0.7)


def test_nothing_and_one_text(tmp_path: Path) -> None:
    assert find_repeats([], 0.7, tmp_path, Local()) == Found(0, {}, {})
    assert kept_of(find_repeats(["a"], 0.7, tmp_path, Local())) == [0]


@pytest.mark.skipif(not HAS_RAY, reason="needs the extra [ray]")
def test_a_step_that_fails_on_a_worker_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="failed on a worker of Ray") as error:
        Ray().take(steps.hash_repeats, tmp_path / "nowhere", [0])
    assert "--scratch" in error.value.fix


@pytest.mark.skipif(HAS_RAY, reason="ray is installed")
def test_without_ray_the_extra_is_named() -> None:
    with pytest.raises(InputError, match="needs ray") as error:
        Ray()
    assert "[ray]" in error.value.fix
