"""Bands against the exact methods: the same matches and scores, whatever the texts, and a bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.near_texts import LATIN, OTHER, many_alike, texts_of

from overt.scoring.near_duplicates import cosine_matches, jaccard, jaccard_matches
from overt.scoring.neighbours import finder as finders
from overt.scoring.neighbours.bands import LEAST_RECALL, Plan, Shared, make_plan
from overt.scoring.neighbours.minhash import HASHES, minhash_finder, signatures
from overt.scoring.neighbours.words import Words


def test_each_code_once_and_in_order() -> None:
    def distinct(*codes: list[int]) -> list[int]:
        return finders.distinct(*(np.array(some, dtype=np.uint64) for some in codes)).tolist()

    assert distinct([]) == distinct([], []) == []
    assert distinct([7]) == [7]
    assert distinct([3, 1, 3], [], [2**64 - 1, 0, 1]) == [0, 1, 3, 2**64 - 1]


def both_ways(texts, thresholds, fixed=0):  # type: ignore[no-untyped-def]
    """The matches with every pair compared, and those by bands."""
    exact, name = jaccard_matches(texts, thresholds, fixed, exact_limit=len(texts))
    assert name == "exact Jaccard"
    return exact, jaccard_matches(texts, thresholds, fixed, exact_limit=0)[0]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85, 0.95])
@pytest.mark.parametrize(("seed", "fixed", "vocabulary"), [(1, 0, LATIN), (2, 150, LATIN + OTHER * 12)])
def test_bands_give_the_exact_matches(threshold: float, seed: int, fixed: int, vocabulary: list[str]) -> None:
    texts = texts_of(1_200, seed, vocabulary)
    exact, banded = both_ways(texts, [threshold] * len(texts), fixed)
    assert banded == exact
    assert 50 < sum(match is not None for match in exact) < 1_000
    assert all(match is None for match in exact[:fixed])


def test_mixed_thresholds_and_odd_texts() -> None:
    rng = random.Random(4)
    texts = [*texts_of(900, 3, LATIN), "", "  ", "...", "!?!", "", "...", "—", "x" * 20_000, "y " * 20_000]
    texts += [" ".join(rng.choice(LATIN) for _ in range(20_000)), "x" * 20_000, "^a$ ^"]
    thresholds = [rng.choice([0.6, 0.75, 0.9]) for _ in texts]
    exact, banded = both_ways(texts, thresholds)
    assert banded == exact
    assert banded[904] == (900, 1.0)  # the second of two empty texts
    assert banded[910] == (907, 1.0)  # of two very long words


@pytest.mark.parametrize("threshold", [0.7, 0.9])
def test_a_bucket_of_many_is_taken_by_halves(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finders, "_MOST_PER_ROW", 40)  # halves of halves
    texts = many_alike(500, 30, 5)
    exact, banded = both_ways(texts, [threshold] * 500, 100)
    assert banded == exact
    assert 50 < sum(match is not None for match in exact) <= 400


def test_very_many_alike_need_no_memory_for_their_pairs() -> None:
    texts = many_alike(1_500, 30, 6)
    tracemalloc.start()
    matches, _ = jaccard_matches(texts, [0.7] * 1_500, exact_limit=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(match is not None for match in matches) > 1_450
    assert peak < 150e6  # the 1,124,250 pairs of each band would take 9 MB a band, twice that as rows


@settings(max_examples=12, deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=10), st.floats(0.3, 1.0), st.integers(0, 4))
def test_any_texts(texts: list[str], threshold: float, fixed: int) -> None:
    _, banded = both_ways(texts, [threshold] * len(texts), fixed)
    assert all(match is None for match in banded[:fixed])
    for i, match in enumerate(banded):
        if match is not None:
            assert match.score == pytest.approx(jaccard(texts[i], texts[match.row]))
            assert match.score >= threshold - 1e-5


def test_jaccard_of_pairs_both_ways() -> None:
    texts = texts_of(300, 7, LATIN + OTHER)
    words = Words(texts)
    rng = np.random.default_rng(0)
    left, right = np.sort(rng.integers(0, 300, 500)), rng.integers(0, 300, 500)
    by_hand = [jaccard(texts[a], texts[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    assert words.jaccard(left, right).tolist() == by_hand
    few = np.sort(rng.integers(0, 5, 500))  # many pairs of each text: counted by marks
    by_hand = [jaccard(texts[a], texts[b]) for a, b in zip(few.tolist(), right.tolist(), strict=True)]
    assert words.jaccard(few, right).tolist() == by_hand


def test_signatures_are_the_least_hashes_however_texts_are_parted() -> None:
    texts = [*texts_of(300, 8, LATIN), " ".join(LATIN * 3), "z" * 30_000]
    whole = np.concatenate([hashes for _, hashes in signatures(Words(texts))])
    assert whole.shape == (302, HASHES)
    for some in (slice(0, 3), slice(150, 302)):
        part = np.concatenate([hashes for _, hashes in signatures(Words(texts[some]))])
        assert (part == whole[some]).all()
    share = np.array([(whole[a] == whole[b]).mean() for a, b in pairwise(range(300))])
    true = np.array([jaccard(texts[a], texts[b]) for a, b in pairwise(range(300))])
    assert abs(share - true).max() < 4.5 * (0.25 / HASHES) ** 0.5


def test_a_plan_says_its_recall_and_large_sets_get_longer_keys() -> None:
    strange = np.full(100, 0.2)
    small, large = (make_plan(rows, HASHES, np.array([0.7]), strange) for rows in (30_000, 3_000_000))
    assert large.width * min(large.group, 2) > small.width * min(small.group, 2)
    for plan in (small, large):
        recall = plan.recall(np.array([0.7]))
        assert recall >= LEAST_RECALL
        # The same by drawing which hashes agree.
        halves = np.random.default_rng(0).random((4_000, plan.halves)) < 0.7**plan.width
        found = np.zeros(4_000, dtype=bool)
        for first, second in plan.bands:
            found |= halves[:, first] & halves[:, second]
        assert abs(found.mean() - recall) < 0.003


def test_the_pairs_of_a_band() -> None:
    keys = np.array([5, 9, 5, 7, 9, 5], dtype=np.uint64) << np.uint64(40)
    shared = Shared(keys)
    places = [(a, b) for left, right in shared.pairs() for a, b in zip(left, right, strict=True)]
    assert {(int(shared.rows[a]), int(shared.rows[b])) for a, b in places} == {(0, 2), (0, 5), (2, 5), (1, 4)}
    assert shared.pairs_count() == 4
    across = [(a, b) for left, right in shared.pairs_across(3) for a, b in zip(left, right, strict=True)]
    assert {(int(shared.rows[a]), int(shared.rows[b])) for a, b in across} == {(0, 5), (2, 5), (1, 4)}
    assert Shared(np.arange(4, dtype=np.uint64) << np.uint64(30)).pairs_count() == 0


def test_groups_of_one_are_plain_bands() -> None:
    assert Plan(6, 1, 3).bands == [(0, 0), (1, 1), (2, 2)]
    assert Plan(3, 3, 2).bands == [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    assert minhash_finder(Words(["a b", "a b"]), np.array([1e-6, 1e-6])).within(np.arange(2)) is not None


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_planes_give_the_exact_matches_of_vectors(shift: float) -> None:
    rng = np.random.default_rng(3)
    base = rng.standard_normal((1_500, 48)) / 48**0.5 + shift * np.eye(48)[0]  # a direction that all share
    vectors = np.repeat(base, 2, axis=0) + rng.standard_normal((3_000, 48)) * 0.04
    vectors = vectors[rng.permutation(3_000)].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[5, 70]] = 0  # texts without a vector
    thresholds = rng.choice([0.9, 0.95], 3_000).tolist()
    exact, name = cosine_matches(vectors.copy(), thresholds, 40)
    banded, other = cosine_matches(vectors.copy(), thresholds, 40, exact_limit=0)
    assert (name, other) == ("exact cosine", "random planes (exact scores)")
    assert banded[5] is None
    assert banded[70] is None
    assert sum((a and a.row) != (b and b.row) for a, b in zip(exact, banded, strict=True)) <= 2
    assert sum(match is not None for match in exact) > 500
    for a, b in zip(exact, banded, strict=True):
        if a and b and a.row == b.row:
            assert a.score == pytest.approx(b.score, abs=1e-5)
