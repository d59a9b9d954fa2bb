"""The table of one scene under several policies: whole, true, and different where the policies are."""

import sys

import pytest
from support.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import policy_matrix as matrix

from overt.policies.load import load_policy, shipped_policies
from overt.policies.schema import Category


@pytest.fixture(scope="module")
def groups():
    return matrix.read_groups()


def test_a_hundred_scenes_under_every_shipped_policy(groups):
    assert sum(len(g.scenes) for g in groups) == 100
    assert {name for g in groups for name in g.under} == set(shipped_policies())
    texts = [s.text for g in groups for s in g.scenes]
    assert len(set(texts)) == 100
    for group in groups:
        kinds = {load_policy(name).modality for name in group.under}
        assert len(kinds) == 1
        for name, category in group.under.items():
            assert isinstance(load_policy(name).category(category), Category)
        for scene in group.scenes:
            assert set(scene.unsafe) <= set(group.under)


def test_no_scene_is_copied_from_a_policy(groups):
    scenes = {
        side.casefold()
        for name in shipped_policies()
        for c in load_policy(name).categories
        for t in c.triggers
        for s in t.scenes
        for side in (s.benign, s.unsafe)
        if side
    }
    for group in groups:
        for scene in group.scenes:
            assert not any(side in scene.text.casefold() for side in scenes)


def test_labels_differ_where_policies_do(groups):
    assert matrix.differing(groups) >= 35


def test_the_rules_tell_the_policies_apart(groups):
    asked = list(matrix.cells(groups))
    labels = matrix.by_rules(asked)
    right = sum(c.expected == label for c, label in zip(asked, labels, strict=True))
    decided = sum(label != "unclear" for label in labels)
    assert right >= 0.5 * len(asked)
    assert right >= 0.85 * decided  # what they decide is mostly right; else they say that they cannot tell


def test_the_page_is_what_the_script_writes(groups):
    said = matrix.PAGE.read_text(encoding="utf-8")
    assert said == matrix.page(groups), "run: python benchmarks/policy_matrix.py --write"
