"""What the search edits, tries and keeps."""

from random import Random

import pytest

from overt.data.records import Probe
from overt.scoring.boundary_search import (
    Edit,
    Guide,
    best,
    closeness,
    fresh_scenes,
    is_refused,
    nearest,
    to_edit,
)


def scored(name, score, threshold=0.5):
    return Probe(name, "filter/x", 1, 1, int(score >= threshold), score)


def rated(name, refused, answered=8):
    return Probe(name, "chat/x", 8, answered, refused)


def test_the_rate_counts_before_the_score():
    assert closeness(scored("a", 0.4)) < closeness(scored("b", 0.45)) < closeness(scored("c", 0.5))
    assert closeness(rated("a", 1)) < closeness(rated("b", 2))


@pytest.mark.parametrize(
    ("tried", "won"),
    [((0.1, 0.2), None), ((0.3,), None), ((0.35, 0.31), "0"), ((0.1, 0.9, 0.4), "1"), ((), None)],
)
def test_only_a_closer_edit_takes_a_prompts_place(tried, won):
    found = best(scored("p", 0.3), [scored(str(i), s) for i, s in enumerate(tried)])
    assert (found.prompt_id if found else None) == won


def test_an_edit_without_an_answer_never_wins():
    assert best(rated("p", 0), [rated("a", 0, answered=0)]) is None
    assert not is_refused(rated("a", 0, answered=0), 0.0)


def test_prompts_are_edited_until_enough_are_refused():
    probes = [scored(str(i), i / 10) for i in range(10)]
    assert [p.prompt_id for p in to_edit(probes, 1.0, wanted=6)] == ["4", "3", "2", "1", "0"]
    assert to_edit(probes, 1.0, wanted=5) == []
    assert [p.prompt_id for p in nearest(probes, 2)] == ["9", "8"]
    assert nearest(probes, -1) == []


def test_a_scene_belongs_to_one_prompt():
    uses = {"a": {"x"}, "b": {"y", "z"}}
    assert fresh_scenes(uses, "a", {"x", "w"})
    assert not fresh_scenes(uses, "a", {"x", "z"})
    assert fresh_scenes(uses, "c", ())


# -- the guide --------------------------------------------------------------------------------------------

WORDS = [f"w{i}" for i in range(60)]


def surrogate(text):
    """A linear filter over words: the even ones are bad, the more so the higher."""
    import math

    level = sum(int(w[1:]) / 20 for w in text.split() if w[1:].isdigit() and int(w[1:]) % 2 == 0) - 5
    return 1 / (1 + math.exp(-level))


def taught(count, most=99, scores=True):
    guide, rng = Guide(most=most, seed=0), Random(1)
    for _ in range(count):
        text = " ".join(rng.sample(WORDS, 8))
        score = surrogate(text)
        guide.note(text, scored(text, score) if scores else Probe(text, "f", 1, 1, int(score > 0.5)))
    guide.begin(0)
    return guide


def word_edits(parent="w1 w3 w5"):
    before = scored(parent, surrogate(parent))
    return [Edit(f"{parent} {w}", parent, before, ("context", w)) for w in WORDS if w not in parent.split()]


@pytest.mark.parametrize("scores", [True, False])
def test_the_guide_learns_which_words_are_refused(scores):
    guide, options = taught(300, scores=scores), word_edits()
    chosen = [options[k] for k in guide.choose(options, 10, 10)]
    bad = sum(int(e.key[1][1:]) % 2 == 0 for e in chosen)
    assert bad >= 8  # by chance 5 of 10


def test_knowing_nothing_it_still_chooses_and_the_same_each_time():
    options = word_edits()
    first, second = (Guide(most=9, seed=4) for _ in range(2))
    for guide in (first, second):
        guide.begin(0)
    assert first.choose(options, 5, 5) == second.choose(options, 5, 5)
    assert len(set(first.choose(options, 5, 5))) == 5


def test_one_wording_is_not_used_over_and_over():
    guide = taught(100, most=2)
    options = [
        Edit(f"{p} w58", p, scored(p, surrogate(p)), ("context", "w58")) for p in ("w1", "w3", "w5", "w7")
    ]
    assert len(guide.choose(options, 4, 1)) == 2
    guide.settle({("context", "w58"): 1})
    assert len(guide.choose(options, 4, 1)) == 1
    removal = [Edit(p, f"{p} w9", scored(p, 0.1), ("context", "")) for p in ("w1", "w3", "w5", "w7")]
    assert len(guide.choose(removal, 4, 1)) == 4


def test_so_many_edits_of_one_prompt():
    guide, options = taught(50), word_edits("w1 w3") + word_edits("w5 w7")
    chosen = [options[k].parent for k in guide.choose(options, 9, 2)]
    assert sorted(chosen) == ["w1 w3", "w1 w3", "w5 w7", "w5 w7"]


def test_an_edit_of_the_form_needs_to_promise_more():
    guide = taught(100)
    before = scored("w1", surrogate("w1"))
    same = [Edit("w1 w40", "w1", before, (kind, "w40")) for kind in ("style", "context")]
    assert guide.choose(same, 1, 1) == [1]
