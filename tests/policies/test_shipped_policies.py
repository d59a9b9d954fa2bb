"""The shipped policies: every scene names its trigger, twins lie close, and policies disagree in earnest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from statistics import median

import pytest
from support.paths import ROOT

from overt.data.records import Prompt, prompt_id
from overt.data.rewrites import Candidate
from overt.data.text import changed_words, words
from overt.generation import grammar
from overt.generation.lexical import Lexical
from overt.policies.load import load_policy
from overt.policies.schema import Category, Policy, Scene

TEXT = ("chat_assistant", "emotional_boundaries")
NAMES = ("overt", "kids_education", "newsroom", "medical_illustration", *TEXT)
# The words of the other one are what is tested, so it has no neutral ones.
REWORDED = tuple(name for name in NAMES if name != "emotional_boundaries")
CUSTOM = ROOT / "examples" / "custom.yaml"
# The nine categories of OVERT (arXiv 2505.21347).
NINE = {
    "privacy_individual", "privacy_public", "copyright_violations", "self_harm", "sexual_content",
    "illegal_activities", "unethical_unsafe_action", "discrimination", "violence",
}  # fmt: skip
SPARE = 4  # scenes beyond the number kept, so that a filter may drop some

policy_of = cache(load_policy)


def scenes(policy: Policy) -> Iterator[tuple[Category, str, int, Scene]]:
    """Category, trigger term, place of the scene within its trigger, scene."""
    for category in policy.categories:
        for trigger in category.triggers:
            for place, scene in enumerate(trigger.scenes):
                yield category, trigger.term, place, scene


def names_term(text: str, term: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(term)}(?!\w)", text, re.IGNORECASE) is not None


def pairs(category: Category) -> list[tuple[str, str]]:
    found = (scene for trigger in category.triggers for scene in trigger.scenes)
    return [(scene.benign, scene.unsafe) for scene in found if scene.benign and scene.unsafe]


def sides(name: str, side: str) -> dict[str, int]:
    """The fragments on one side of a policy, each with its place within its trigger."""
    found = ((getattr(scene, side), place) for _, _, place, scene in scenes(policy_of(name)))
    return {text: place for text, place in found if text}


@pytest.mark.parametrize("name", NAMES)
def test_name_and_modality(name: str) -> None:
    policy = policy_of(name)
    assert policy.name == name
    assert policy.modality == ("text" if name in TEXT else "image")
    assert policy.description


def test_overt_has_the_nine_categories() -> None:
    assert {category.id for category in policy_of("overt").categories} == NINE


@pytest.mark.parametrize("name", NAMES)
def test_every_scene_names_its_trigger_on_both_sides(name: str) -> None:
    missing = [
        (category.id, term, text)
        for category, term, _, scene in scenes(policy_of(name))
        for text in (scene.benign, scene.unsafe)
        if text and not names_term(text, term)
    ]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_enough_two_sided_scenes(name: str) -> None:
    for category in policy_of(name).categories:
        keep = max(category.benign, category.unsafe)
        assert keep >= (30 if name in TEXT else 40), category.id
        assert len(pairs(category)) >= keep + SPARE, f"{category.id}: {len(pairs(category))} pairs"


@pytest.mark.parametrize("name", NAMES[1:])
def test_many_triggers_and_each_once(name: str) -> None:
    for category in policy_of(name).categories:
        terms = [trigger.term.lower() for trigger in category.triggers]
        assert len(set(terms)) == len(terms) >= 18, category.id


@pytest.mark.parametrize("name", NAMES)
def test_twins_share_their_subject(name: str) -> None:
    """A twin tells of another event in the same setting: many of its words differ, and some are the same."""
    for category in policy_of(name).categories:
        for benign, unsafe in pairs(category):
            assert changed_words(benign, unsafe) >= 1, (benign, unsafe)
            assert len(set(words(benign)) & set(words(unsafe))) >= 2, (benign, unsafe)
        shared = [len(set(words(benign)) & set(words(unsafe))) for benign, unsafe in pairs(category)]
        assert median(shared) >= 4, category.id


@pytest.mark.parametrize("name", NAMES)
def test_no_fragment_stands_twice(name: str) -> None:
    counts = Counter(
        " ".join(words(text))
        for _, _, _, scene in scenes(policy_of(name))
        for text in (scene.benign, scene.unsafe)
        if text
    )
    assert [text for text, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("name", NAMES[1:4])
def test_image_fragments_are_noun_phrases_of_readable_length(name: str) -> None:
    for _, _, _, scene in scenes(policy_of(name)):
        for text in (scene.benign, scene.unsafe):
            if text:
                assert 5 <= len(words(text)) <= 20, text
                assert not text.endswith("."), text


def test_chat_fragments_are_whole_requests() -> None:
    for _, _, _, scene in scenes(policy_of("chat_assistant")):
        for text in (scene.benign, scene.unsafe):
            assert text is not None
            assert text[0].isupper(), text
            assert text[-1] in ".?!", text


@pytest.mark.parametrize("lenient", ["newsroom", "medical_illustration"])
def test_the_same_scene_is_benign_here_and_unsafe_for_children(lenient: str) -> None:
    benign, unsafe = sides(lenient, "benign"), sides("kids_education", "unsafe")
    shared = benign.keys() & unsafe.keys()
    assert len(shared) >= 15
    # First scenes of their trigger are drawn first, so that generated sets show the disagreement.
    late = {text for text in shared if benign[text] > 0 or unsafe[text] > 0}
    assert late == set()
    # Nothing may be filled differently in the two sets.
    assert [text for text in shared if "{" in text] == []


def test_the_standard_policy_disagrees_with_the_others() -> None:
    others = NAMES[1:4]
    clashes = {
        text
        for name in others
        for a, b in (("overt", name), (name, "overt"))
        for text in sides(a, "benign").keys() & sides(b, "unsafe").keys()
    }
    assert len(clashes) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_no_policy_contradicts_itself(name: str) -> None:
    assert not sides(name, "benign").keys() & sides(name, "unsafe").keys()


def test_children_get_nothing_sexual() -> None:
    """Not even on the unsafe side: this set is about children's products, and the floor covers it."""
    banned = re.compile(
        r"\b(nude|naked|sex|sexual|sexy|genitals?|penis|vagina|vulva|breasts?|erotic|porn\w*|striptease|"
        r"lingerie|orgasm|undress\w*)\b",
        re.IGNORECASE,
    )
    policy = policy_of("kids_education")
    texts = [text for _, _, _, scene in scenes(policy) for text in (scene.benign, scene.unsafe) if text]
    texts += [term for _, term, _, _ in scenes(policy)]
    assert [text for text in texts if banned.search(text)] == []


def test_example_policy_adapts_the_standard_one() -> None:
    """The file that `make demo` runs."""
    assert 10 <= len(CUSTOM.read_text(encoding="utf-8").splitlines()) <= 60
    custom = load_policy(str(CUSTOM))
    base = policy_of("overt")
    assert custom.name != base.name
    ids = [category.id for category in custom.categories]
    assert set(ids) - NINE, "a category of its own"
    assert NINE - set(ids), "a category dropped"
    inherited, changed = base.category("violence"), custom.category("violence")
    assert set(inherited.disallowed) < set(changed.disallowed)
    assert {trigger.term for trigger in inherited.triggers} <= {trigger.term for trigger in changed.triggers}
    assert all(category.benign == category.unsafe == 12 for category in custom.categories)


def generated(name: str, label: str) -> list[str]:
    """What the builtin writes for a policy: as many prompts as each category has scenes, or their twins."""
    policy, texts = policy_of(name), []
    for category in policy.categories:
        count = sum(len(trigger.scenes) for trigger in category.triggers)
        for prompt in grammar.compose(policy, category, count=count, seed=0):
            if label == "benign":
                texts.append(prompt.text)
            else:
                texts += [twin.text for twin in grammar.twins(policy, category, prompt, seed=0)[:1]]
    return texts


@pytest.mark.parametrize("lenient", ["newsroom", "medical_illustration"])
def test_generated_sets_show_the_disagreement(lenient: str) -> None:
    shared = sides(lenient, "benign").keys() & sides("kids_education", "unsafe").keys()
    asked, refused = generated(lenient, "benign"), generated("kids_education", "unsafe")
    shown = [
        fragment
        for fragment in shared
        if any(fragment[1:] in text for text in asked) and any(fragment[1:] in text for text in refused)
    ]
    assert len(shown) >= 0.9 * len(shared)
    assert len(shown) >= 15


@pytest.mark.parametrize("name", REWORDED)
def test_every_trigger_can_be_said_in_neutral_words(name: str) -> None:
    """For `overt rewrite` without a model."""
    policy = policy_of(name)
    for category in policy.categories:
        terms = [trigger.term for trigger in category.triggers]
        for trigger in category.triggers:
            assert len(set(trigger.neutral)) == len(trigger.neutral) >= 1, (category.id, trigger.term)
            for neutral in trigger.neutral:
                assert not names_term(neutral, trigger.term)
                # Nor most of the others': a word list has those too.
                assert sum(names_term(neutral, term) for term in terms) <= 1, (trigger.term, neutral)


@pytest.mark.parametrize("name", REWORDED)
def test_a_benign_scene_is_reworded_without_its_trigger(name: str) -> None:
    policy = policy_of(name)
    for category, term, _, scene in scenes(policy):
        if scene.benign is None:
            continue
        asked = Prompt(prompt_id(scene.benign), scene.benign, category.id, "benign", "direct", "w", "t@1")
        found = list(Lexical().rewrite(policy, asked, count=2, seed=0))
        assert found, scene.benign
        for candidate in found:
            assert isinstance(candidate, Candidate), candidate
            assert not names_term(candidate.text, term), candidate.text
