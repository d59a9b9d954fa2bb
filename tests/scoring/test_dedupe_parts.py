"""Dedupe in parts gives what dedupe of all at once gives."""

import random

import pytest
from support.builders import make_prompt

from overt.scoring import near_duplicates
from overt.scoring.dedupe import dedupe
from overt.scoring.dedupe_parts import DedupeInParts, comes_in_parts, growing

WORDS = "red blue old new cat dog bird house tree lamp road river stone cloud glass paper".split()


def prompts(seed, count):
    """Texts of few words, so that many repeat others nearly, or but for case and punctuation."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        text = " ".join(rng.choices(WORDS, k=rng.randint(3, 6)))
        if found and rng.random() < 0.3:
            text = rng.choice(list(found.values())).text.upper() + rng.choice(["", "!", "?!", " ..."])
        prompt = make_prompt(text)
        found.setdefault(prompt.id, prompt)
    return list(found.values())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("limit", [0.5, 0.7, 0.9])
def test_the_outcome_is_that_of_all_at_once(seed, limit):
    every = prompts(seed, 400)
    kept, todo, earlier = every[:40], every[40:], [p.text for p in prompts(seed + 100, 30)]
    rules = {"threshold_of": lambda p: limit, "encoder": None}
    whole = dedupe(todo, **rules, kept=kept, against=earlier, why="w")
    mine = list(kept)
    parts = DedupeInParts(mine, **rules, against=earlier, why="w")
    found = [parts.add(part) for part in growing(todo, 16)]
    assert len(found) > 4
    assert [p for result in found for p in result.kept] == whole.kept
    assert [d for result in found for d in result.drops] == whole.drops
    assert {result.index for result in found} == {whole.index}
    assert mine == kept + whole.kept
    assert {d.reason for d in whole.drops} == {"exact repeat", "near repeat"}


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 100])
def test_parts_grow(count):
    parts = list(growing(prompts(1, count), 4))
    assert [p for part in parts for p in part] == prompts(1, count)
    sizes = [len(part) for part in parts]
    assert sizes[:-1] == [4, 4, 8, 16, 32, 64][: len(sizes) - 1]
    assert all(sizes) or sizes == [0]


def test_where_an_index_proposes_or_vectors_are_compared_all_are_taken_at_once():
    assert comes_in_parts(None, near_duplicates.EXACT_TEXTS)
    assert not comes_in_parts(None, near_duplicates.EXACT_TEXTS + 1)
    assert not comes_in_parts(object(), 10)
