"""Splits by whole clusters: what hangs together, which shares come out, and the check that finds a leak."""

import dataclasses
import random
from collections import Counter

import pytest

from overt.data.errors import InputError
from overt.data.records import Prompt, prompt_id
from overt.data.splits import (
    SPLITS,
    category_of,
    clustered,
    families_of,
    leaks,
    read_shares,
    split_clusters,
)

SHARES = read_shares("0.8/0.1/0.1")


def prompt(text, category="violence", writer="file.csv"):
    return Prompt(prompt_id(text), text, category, "benign", "direct", writer, "")


def test_a_cluster_is_all_that_hangs_together():
    keys = [["s1", "p1"], ["s2"], ["p1", "s3"], ["s4"], ["s3"], []]
    assert clustered(keys) == [[0, 2, 4], [1], [3], [5]]
    assert clustered(keys, [(5, 3), (3, 4)]) == [[0, 2, 3, 4, 5], [1]]
    assert clustered([]) == []


def test_clusters_are_those_of_a_slow_search():
    draw = random.Random(5)
    keys = [[draw.randrange(60) for _ in range(2)] for _ in range(80)]
    found = {frozenset(cluster) for cluster in clustered(keys)}
    for start in range(80):
        reached, todo = {start}, [start]
        while todo:
            row = todo.pop()
            new = {other for other in range(80) if set(keys[other]) & set(keys[row])} - reached
            reached |= new
            todo += new
        assert frozenset(reached) in found


def test_shares_are_met_by_label_with_clusters_of_many_sizes():
    draw = random.Random(2)
    clusters, strata = [], []
    while len(strata) < 2000:
        size = draw.choice([1, 1, 2, 5, 20])
        clusters.append(list(range(len(strata), len(strata) + size)))
        strata += [(draw.choice(["benign", "benign", "unsafe"]),) for _ in range(size)]
    splits = split_clusters(clusters, strata, SHARES, seed=1)
    counts = Counter((splits[n], strata[row][0]) for n, rows in enumerate(clusters) for row in rows)
    for label in ("benign", "unsafe"):
        total = sum(counts[split, label] for split in SPLITS)
        for split in SPLITS:
            assert counts[split, label] / total == pytest.approx(SHARES[split], abs=0.02)
    assert split_clusters(clusters, strata, SHARES, seed=1) == splits
    assert split_clusters(clusters, strata, SHARES, seed=2) != splits


def test_eight_equal_clusters_leave_one_for_each_of_the_small_splits():
    clusters = [list(range(n * 50, n * 50 + 50)) for n in range(8)]
    strata = [("benign",) if row % 2 else ("unsafe",) for row in range(400)]
    splits = split_clusters(clusters, strata, SHARES, seed=0)
    assert Counter(splits) == {"train": 6, "validation": 1, "test": 1}


def test_one_cluster_is_trained_on_and_a_share_of_nothing_gets_nothing():
    assert split_clusters([[0, 1]], [("a",), ("a",)], SHARES, 0) == ["train"]
    clusters = [[n] for n in range(50)]
    splits = split_clusters(clusters, [("a",)] * 50, read_shares("0.8/0.2/0"), 0)
    assert Counter(splits) == {"train": 40, "validation": 10}


@pytest.mark.parametrize(
    "text", ["0.8", "0.8/0.1", "0.8/0.1/0.2", "0/0.5/0.5", "a/b/c", "1.2/-0.1/-0.1", "nan/0/1"]
)
def test_what_is_no_shares(text):
    with pytest.raises(InputError, match="--split"):
        read_shares(text)


def test_categories_are_spelled_in_one_way():
    assert category_of(" Unethical ") == category_of("unethical_unsafe_action") == "unethical_unsafe_action"
    assert category_of("Self-Harm") == category_of("self harm") == "self_harm"
    assert category_of("") == ""


def test_types_are_families_only_where_a_data_set_is_divided_by_them():
    typed = [
        prompt("a", "privacy_public", "x"),
        prompt("b", "Contrast_Privacy", "x"),
        prompt("c", "own", "x"),
    ]
    assert families_of(typed) == ["privacy", "privacy", ""]
    # A category of OVERT has the name of a type.
    assert families_of([prompt("d", "privacy_public", "OVERT_mini.csv"), prompt("e", "violence")]) == ["", ""]
    mixed = [*typed, dataclasses.replace(typed[0], writer="y")]
    assert families_of(mixed) == ["privacy", "privacy", "", ""]
    # In the rows of an export the family stands for its types; some families have a policy's name.
    again = [prompt(text, text, "x") for text in ("homonyms", "discrimination", "privacy")]
    assert families_of(again) == ["homonyms", "discrimination", "privacy"]
    assert families_of([prompt("d", "discrimination", "OVERT.csv")]) == [""]


def test_the_check_finds_what_stands_in_two_splits():
    rows = [("train", ["c1", "t1"]), ("train", ["c1"]), ("test", ["c2", "t2"]), ("validation", ["t1", "c3"])]
    assert leaks(rows) == {"t1": ["train", "validation"]}
    assert leaks([("train", ["a"]), ("test", ["b"])]) == {}
