"""Selection and the figures of diversity."""

from __future__ import annotations

import hashlib
import random
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overt.data.records import Prompt, prompt_id
from overt.scoring.diversity import distinct_n, ngram_vectors, self_similarity, unit_rows
from overt.scoring.select import select


def prompt(text: str, category: str = "violence", trigger: str = "") -> Prompt:
    return Prompt(prompt_id(text), text, category, "benign", "direct", "m/x", "t@1", trigger=trigger)


def pool(count: int, categories: int = 2, triggers: int = 5, seed: int = 0) -> list[Prompt]:
    rng = random.Random(seed)
    words = ["".join(rng.choices(string.ascii_lowercase, k=5)) for _ in range(300)]
    return [
        prompt(" ".join(rng.choices(words, k=9)), f"c{i % categories}", f"t{rng.randrange(triggers)}")
        for i in range(count)
    ]


def test_exact_numbers_and_a_clear_account() -> None:
    prompts = [*pool(200), prompt("alone", "rare"), prompt("nobody asked", "other")]
    result = select(prompts, {"c0": 30, "c1": 100, "rare": 4, "absent": 2}, seed=1)
    assert Counter(p.category for p in result.kept) == {"c0": 30, "c1": 100, "rare": 1}
    assert result.short == {"rare": 3, "absent": 2}
    assert sorted([p.id for p in result.kept] + [d.record_id for d in result.drops]) == sorted(
        p.id for p in prompts
    )
    assert [p.id for p in prompts if p in result.kept] == [p.id for p in result.kept]
    assert Counter(d.reason for d in result.drops) == {"not among the most diverse": 70, "not asked for": 1}


def test_it_takes_one_of_each_cluster() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(12)
    vectors = np.repeat(centres, 10, axis=0) + rng.standard_normal((120, 12)) * 0.05
    prompts = [prompt(f"text {i}") for i in range(120)]
    kept = select(prompts, {"violence": 12}, seed=3, vectors=vectors.astype(np.float32)).kept
    assert sorted(prompts.index(p) // 10 for p in kept) == list(range(12))
    one_cluster_twice = Counter(i // 10 for i in random.Random(0).sample(range(120), 12))
    assert max(one_cluster_twice.values()) > 1  # what chance gives


def test_it_is_more_diverse_than_chance() -> None:
    prompts = [p for p in pool(600, categories=1) for p in (p, prompt(p.text + " indeed", "c0", p.trigger))]
    kept = [p.text for p in select(prompts, {"c0": 300}, seed=0).kept]
    by_chance = [p.text for p in random.Random(0).sample(prompts, 300)]
    assert distinct_n(kept) > distinct_n(by_chance) + 0.05
    assert self_similarity(kept).nearest_p95 < self_similarity(by_chance).nearest_p95  # type: ignore[operator]


def test_the_quota_is_spread_over_the_triggers_as_long_as_they_last() -> None:
    texts = pool(100, categories=1, triggers=1)
    triggers = ["knife"] * 80 + ["shot"] * 15 + ["Bomb", "bomb ", "BOMB", "mine", "mine"]
    prompts = [prompt(p.text, "c0", t) for p, t in zip(texts, triggers, strict=True)]
    kept = select(prompts, {"c0": 21}, seed=0).kept
    assert Counter(p.trigger.strip().lower() for p in kept) == {"knife": 8, "shot": 8, "bomb": 3, "mine": 2}


def test_a_later_tier_is_never_preferred_to_an_earlier_one() -> None:
    # 30 prompts of tier 0 that are alike, and 30 of tier 1 that are as diverse as can be.
    vectors = np.vstack([np.ones((30, 40)) + np.eye(30, 40) * 0.1, np.eye(30, 40)]).astype(np.float32)
    prompts = [prompt(f"text {i}", trigger=f"t{i % 3}") for i in range(60)]
    tiers = [0] * 30 + [1] * 30
    result = select(prompts, {"violence": 40}, seed=2, vectors=vectors, tiers=tiers)
    kept = [prompts.index(p) for p in result.kept]
    assert kept[:30] == list(range(30))
    assert len(kept) == 40
    few = select(prompts, {"violence": 9}, seed=2, vectors=vectors, tiers=tiers)
    assert all(prompts.index(p) < 30 for p in few.kept)
    assert Counter(p.trigger for p in few.kept) == {"t0": 3, "t1": 3, "t2": 3}
    assert Counter(d.reason for d in few.drops) == {
        "not among the most diverse": 21,
        "better prompts were enough": 30,
    }


def test_a_trigger_of_an_early_tier_goes_before_balance() -> None:
    prompts = [prompt(f"text {i}", trigger="a" if i < 6 else "b") for i in range(12)]
    kept = select(prompts, {"violence": 8}, seed=0, tiers=[0] * 6 + [2] * 6).kept
    assert Counter(p.trigger for p in kept) == {"a": 6, "b": 2}


def test_same_seed_same_choice_and_the_order_of_the_quota_does_not_count() -> None:
    prompts = pool(120)
    first = select(prompts, {"c0": 10, "c1": 11}, seed=5)
    assert select(prompts, {"c1": 11, "c0": 10}, seed=5) == first
    assert select(prompts, {"c0": 10, "c1": 11}, seed=6) != first


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=15), st.sampled_from("abc"), st.sampled_from(["", "x", "y"])), max_size=25
    ),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 12)),
)
def test_any_prompts_and_any_quota(rows: list[tuple[str, str, str]], quota: dict[str, int]) -> None:
    prompts = [prompt(*row) for row in rows]
    result = select(prompts, quota, seed=0)
    have = Counter(p.category for p in prompts)
    assert Counter(p.category for p in result.kept) == Counter(
        {c: min(have[c], quota.get(c, 0)) for c in have}
    )
    assert result.short == {c: n - have[c] for c, n in quota.items() if n > have[c]}
    assert len(result.kept) + len(result.drops) == len(prompts)


def test_distinct_n_by_hand() -> None:
    texts = ["A cat, a cat", "a cat sat"]  # a-cat cat-a a-cat | a-cat cat-sat
    assert distinct_n(texts, 2) == pytest.approx(3 / 5)
    assert distinct_n(texts, 1) == pytest.approx(3 / 7)
    assert distinct_n(["one"], 2) == 0.0
    assert distinct_n([], 1) == 0.0


def test_self_similarity_by_hand() -> None:
    vectors = np.array([[2, 0], [1, 0], [0, 3], [0, -1]], dtype=np.float32)
    found = self_similarity(["a"] * 4, vectors, "by hand")
    assert found.mean == pytest.approx((1 - 1) / 6)
    assert found.nearest_max == 1
    assert found.nearest_median == pytest.approx((0 + 1) / 2)
    assert self_similarity(["alone"]).mean is None


def test_ngram_vectors_see_shared_rare_words() -> None:
    texts = ["a red fox in snow", "a red fox in rain", "the committee adjourned early", ""]
    table = ngram_vectors(texts) @ ngram_vectors(texts).T
    assert table[0, 0] == pytest.approx(1)
    assert table[0, 1] > 0.4 > abs(table[0, 2])
    assert not table[3].any()


def test_a_prompt_that_is_not_chosen_changes_nothing() -> None:
    prompts = pool(60, categories=1)
    vectors = np.random.default_rng(3).normal(size=(60, 8)).astype(np.float32)
    kept = {p.id for p in select(prompts, {prompts[0].category: 12}, seed=1, vectors=vectors).kept}
    for out in [i for i, p in enumerate(prompts) if p.id not in kept][:5]:
        fewer = [p for i, p in enumerate(prompts) if i != out]
        rest = np.delete(vectors, out, axis=0)
        assert {p.id for p in select(fewer, {prompts[0].category: 12}, seed=1, vectors=rest).kept} == kept


def one_by_one(
    table: np.ndarray, groups: list[str], tiers: list[int], keys: list[str], wanted: int, seed: str
) -> list[int]:
    """The rows as the head of the module tells it: after each choice all rows are held against it."""
    places = [hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest() for key in keys]
    shuffled = sorted(range(len(table)), key=lambda i: (places[i], i))
    nearest = np.full(len(table), -2.0, dtype=np.float32)
    counts, left, order = Counter(dict.fromkeys(groups, 0)), list(shuffled), list[int]()
    for _ in range(wanted):
        of_tier = [i for i in left if tiers[i] == min(tiers[k] for k in left)]
        fewest = min(counts[groups[i]] for i in of_tier)
        may_be = [i for i in of_tier if counts[groups[i]] == fewest]
        pick = min(may_be, key=lambda i: float(np.round(nearest[i : i + 1], 5)[0]))
        order.append(pick)
        left.remove(pick)
        counts[groups[pick]] += 1
        nearest = np.maximum(nearest, table @ table[pick])
    return order


@pytest.mark.parametrize("seed", range(12))
def test_the_choice_is_that_of_looking_at_every_row_each_time(seed: int) -> None:
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    n, d = rng.randrange(150, 420), rng.choice([2, 8, 50, 384, 512])  # more than a block of choices
    table = numbers.standard_normal((n, d)).astype(np.float32)
    if seed % 2:  # many rows that are equally near
        table = np.round(table[numbers.integers(0, n, n)] * 0.7)
    table = unit_rows(table)
    groups = [f"t{rng.randrange(1 + 3 * seed)}" for _ in range(n)]
    tiers = [rng.randrange(1 + seed % 4) for _ in range(n)]
    wanted = rng.randrange(n // 2, n)
    prompts = [prompt(f"text {i}", trigger=groups[i]) for i in range(n)]
    result = select(prompts, {"violence": wanted}, seed=seed, vectors=table, tiers=tiers)
    chosen = one_by_one(table, groups, tiers, [p.id for p in prompts], wanted, f"{seed} violence")
    assert [p.id for p in result.kept] == [prompts[i].id for i in sorted(chosen)]
    # What is said of each of the others is true.
    near = (table @ table[chosen].T).max(axis=1)
    by_id = {p.id: i for i, p in enumerate(prompts)}
    said = [d for d in result.drops if d.reason == "not among the most diverse"]
    assert said or max(tiers[i] for i in chosen) < max(tiers)
    for drop in said:
        assert float(drop.detail.rsplit(" ", 1)[1]) == pytest.approx(
            float(near[by_id[drop.record_id]]), abs=2e-3
        )
