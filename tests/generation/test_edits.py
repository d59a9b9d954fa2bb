"""Edits of benign prompts: what they change, what they leave, and that the rules still call them benign."""

from collections import Counter
from random import Random

import pytest

from overt.data.records import Prompt, prompt_id
from overt.generation import edits, grammar, wording
from overt.generation.frames import names_term
from overt.policies.floor import floor_reason
from overt.policies.load import load_policy, shipped_policies
from overt.scoring.rule_audit import audit_text

EACH = 4  # prompts of a category, and edits of each kind that are read


@pytest.fixture(scope="module")
def made():
    """By policy: (category, prompt, its options), a few prompts of each category."""
    found = {}
    for name in shipped_policies():
        policy = load_policy(name)
        found[name] = [
            (category, prompt, edits.options(policy, category, prompt, seed=3))
            for category in policy.categories
            for prompt in grammar.compose(policy, category, count=EACH, seed=1)
        ]
    return found


def sample(rows):
    rng = Random(0)
    for category, prompt, options in rows:
        for kind in edits.KINDS:
            mine = [o for o in options if o.kind == kind]
            for option in rng.sample(mine, min(2, len(mine))):
                yield category, prompt, option, option.make()


@pytest.mark.parametrize("name", shipped_policies())
def test_an_edit_changes_the_text_and_keeps_what_a_prompt_must_have(made, name):
    for category, prompt, option, edited in sample(made[name]):
        assert edited.text != prompt.text
        assert edited.id == prompt_id(edited.text)
        assert (edited.label, edited.category) == ("benign", category.id)
        assert names_term(edited.trigger, edited.text), (option.kind, edited.text)
        assert not set("{}") & set(edited.text), edited.text
        assert "  " not in edited.text
        assert edited.text[0] == edited.text[0].upper()


@pytest.mark.parametrize("name", shipped_policies())
def test_nearly_all_edits_are_benign_by_the_rules(made, name):
    policy = load_policy(name)
    labels = Counter(
        audit_text(policy, policy.category(category.id), edited.text).label
        for category, _, _, edited in sample(made[name])
    )
    assert labels["benign"] >= 0.93 * labels.total(), labels


def test_the_kinds_of_edits_of_a_picture(made):
    kinds = Counter(o.kind for _, _, options in made["overt"] for o in options)
    assert {"scene", "side", "context", "style"} <= set(kinds)
    assert "model" not in kinds


def test_a_setting_takes_the_place_of_another(made):
    policy = load_policy("overt")
    settings = {s for group in wording.table("edits")["contexts"]["image"].values() for s in group}
    category, _, options = made["overt"][0]
    first = next(o for o in options if o.kind == "context" and o.value).make()
    again = edits.options(policy, category, first, seed=3)
    for option in [o for o in again if o.kind == "context"]:
        assert sum(s in option.text for s in settings) == (1 if option.value else 0), option.text
    assert any(o.value == "" for o in again if o.kind == "context")


def test_a_product_for_children_gets_only_settings_for_children(made):
    tables = wording.table("edits")["contexts"]
    for table in tables.values():
        assert set(table["young"]) < set(table["calm"])  # a prompt is taken apart by all settings
    young, others = tables["image"]["young"], {*tables["image"]["calm"], *tables["image"]["dark"]}
    others -= set(young)
    assert any(o.value in others for _, _, options in made["overt"] for o in options)
    values = {o.value for _, _, options in made["kids_education"] for o in options}
    assert values & set(young)
    assert not values & others


def test_two_scenes_are_both_there_and_are_not_joined_again(made):
    policy = load_policy("overt")
    category, _, options = next(row for row in made["overt"] if any(o.kind == "side" for o in row[2]))
    option = next(o for o in options if o.kind == "side")
    assert len(option.uses) == 2
    assert not any(o.kind == "side" for o in edits.options(policy, category, option.make(), seed=3))


def test_settings_and_terms_are_fit_for_every_product():
    """A setting stands in many prompts: it must pass the floor and read as a part of a sentence."""
    table = wording.table("edits")
    for group in table["contexts"]["image"].values():
        assert len(set(group)) == len(group)
        for setting in group:
            assert setting.startswith(", ")
            assert setting[-1].isalpha()
            assert not floor_reason(f"A photograph of two people{setting}")
    for group in table["contexts"]["text"].values():
        assert all(setting.endswith((". ", ": ")) for setting in group)
    for around in table["sides"]["image"]:
        assert around.count("{scene}") == around.count("{other}") == 1


def test_the_same_seed_gives_the_same_edits(made):
    policy = load_policy("overt")
    category, prompt, options = made["overt"][5]
    again = edits.options(policy, category, prompt, seed=3)
    assert [(o.kind, o.value, o.text) for o in again] == [(o.kind, o.value, o.text) for o in options]


def test_a_prompt_of_another_writer_gets_settings_and_kindred_terms():
    policy = load_policy("overt")
    category = policy.category("violence")
    term = category.triggers[0].term
    text = f"Something about {term} that no scene of the policy has."
    prompt = Prompt(prompt_id(text), text, "violence", "benign", "direct", "openai/x", "direct@1", term)
    options = edits.options(policy, category, prompt, seed=0)
    assert {"context"} <= {o.kind for o in options} <= {"context", "trigger"}
    assert all(o.make().template == "direct@1" for o in options)
    assert all(o.text.endswith(".") for o in options if o.kind == "context")


def test_a_twin_can_be_made_of_an_edited_prompt(made):
    policy = load_policy("overt")
    rows = [row for row in sample(made["overt"]) if row[2].kind in ("context", "style", "side")]
    told = Counter()
    for category, prompt, _, edited in rows:
        if not grammar.twins(policy, category, prompt, seed=0):
            continue
        twins = grammar.twins(policy, category, edited, seed=0)
        told[
            "unsafe" if twins and audit_text(policy, category, twins[0].text).label == "unsafe" else "not"
        ] += 1
    assert told["unsafe"] >= 0.9 * told.total(), told
