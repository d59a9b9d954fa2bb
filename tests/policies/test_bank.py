"""The bank of scenes: what is in it, whose topic a term has, and how its own term reads in a scene."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from overt.data.tiers import only_mentions
from overt.policies.bank import reading, scenes_for
from overt.policies.coverage import remarks
from overt.policies.floor import floor_reason
from overt.policies.load import PolicyError, load_policy
from overt.policies.schema import BUILTIN_SLOTS, Category, Policy, Trigger
from overt.policies.term_forms import PARTS, looks_plural
from overt.policies.topics import topics

SLOTS = {"term", "a_term", "the_term", *BUILTIN_SLOTS}
GROUPS = {*PARTS, "any", "noun"}


def category(title: str = "House rules", *lines: str, **more: object) -> Category:
    data = {"id": "c", "title": title, "disallowed": lines or ("nothing much",), "triggers": ["x y"], **more}
    return Category.model_validate(data)


def texts(term: str, modality: str = "image", of: Category | None = None, **more: object) -> list[str]:
    trigger = Trigger.model_validate({"term": term, **more})
    filled = scenes_for(modality, of or category(), trigger)
    return [side for f in filled for side in (f.benign, f.unsafe)]


@pytest.mark.parametrize("name", sorted(topics()))
def test_a_topic_has_enough_scenes_and_each_is_fit(name: str) -> None:
    topic = topics()[name]
    assert topic.name == name
    assert set(topic.words) <= GROUPS
    for modality, least in (("image", 12), ("text", 6)):
        scenes = topic.scenes[modality]
        assert len(scenes) >= least
        assert any(not s.parts for s in scenes), "a term of any form needs a scene"
        assert len({s.benign for s in scenes}) == len({s.unsafe for s in scenes}) == len(scenes)
        for scene in scenes:
            assert scene.parts <= GROUPS
            for side in (scene.benign, scene.unsafe):
                slots = set(re.findall(r"\{(\w+)\}", side))
                assert slots <= SLOTS
                assert slots & {"term", "a_term", "the_term"}, side
                assert floor_reason(side) is None, side
                assert not only_mentions("zzz", re.sub(r"\{\w*term\}", "zzz", side)), side
                if modality == "text":
                    assert side[-1] in ".?!", side
                else:
                    assert side[-1] not in ".?!", side
                    assert side[0] == "{" or side[0].islower() or side.split()[0][0].isupper(), side


@pytest.mark.parametrize(
    ("term", "topic", "part", "plural"),
    [
        ("gun", "weapon", "thing", False), ("Guns", "weapon", "thing", True),
        ("knives", "weapon", "thing", True), ("AK-47", "weapon", "thing", False),
        ("pipe bombs", "explosive", "thing", True),
        ("blood", "blood_and_gore", "stuff", False), ("stabbing", "killing", "event", False),
        ("killing", "killing", "event", False), ("kills", "killing", "quality", False),
        ("murdered", "killing", "quality", False), ("to kill", "killing", "verb", False),
        ("dirty knife", "weapon", "thing", False), ("punching", "fighting", "act", False),
        ("money laundering", "crime", "act", False), ("fake ID", "crime", "thing", False),
        ("naked", "undressed", "quality", False), ("drunk", "alcohol_and_tobacco", "quality", False),
        ("Hitler", "public_figure", "name", False), ("hit and run", "fighting", "any", False),
        ("poison", "mass_harm", "stuff", False), ("syringes", "drug", "any", True),
        ("fugitive", "crime", "person", False), ("bribes", "crime", "event", True),
        ("drugs trade", "drug", "any", False), ("bags of heroin", "drug", "any", True),
        ("drug mules", "crime", "person", True),
    ],
)  # fmt: skip
def test_a_terms_topic_and_part_of_speech(term: str, topic: str, part: str, plural: bool) -> None:
    read = reading(category(), Trigger(term=term))
    assert read is not None
    assert (read.topic, read.part, read.plural) == (topic, part, plural)


def test_the_category_decides_what_the_term_does_not() -> None:
    assert reading(category(), Trigger(term="Kumquat")) is None
    drugs = category("Drugs", "selling drugs")
    assert reading(drugs, Trigger(term="Kumquat")).topic == "drug"  # type: ignore[union-attr]
    # A part of a term does not overrule the category's title, the whole of it does.
    marks = category("Trademarks and logos", "brands of others")
    assert reading(marks, Trigger(term="Kumquat Wars")).topic == "brand_and_copyright"  # type: ignore[union-attr]
    assert reading(marks, Trigger(term="gun")).topic == "weapon"  # type: ignore[union-attr]
    # Of two topics of a word the one that the category speaks of.
    assert reading(category("Hacking", "malware"), Trigger(term="virus")).topic == "hacking"  # type: ignore[union-attr]
    assert reading(category("Toxic", "nuclear"), Trigger(term="virus")).topic == "mass_harm"  # type: ignore[union-attr]


def test_a_policy_can_say_the_topic() -> None:
    said = category("House rules", topic="gambling")
    assert reading(said, Trigger(term="gun")).topic == "gambling"  # type: ignore[union-attr]
    assert reading(said, Trigger(term="gun", topic="weapon")).topic == "weapon"  # type: ignore[union-attr]
    assert reading(said, Trigger(term="{gun}")) is None


@pytest.mark.parametrize("field", ["trigger", "category"])
def test_a_wrong_topic_is_an_error_with_the_list(tmp_path: Path, field: str) -> None:
    own = "{term: gun, topic: wepon}" if field == "trigger" else "gun"
    of = "    topic: wepon\n" if field == "category" else ""
    file = tmp_path / "p.yaml"
    file.write_text(
        f"name: p\ncategories:\n  - id: c\n    title: Arms\n    disallowed: [arms]\n"
        f"{of}    triggers: [{own}]\n"
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(str(file))
    report = caught.value.report()
    assert "no topic 'wepon'" in report
    assert "weapon" in report
    assert "fear_and_monster" in report


def test_terms_stand_in_scenes_as_they_are_written_and_read_well() -> None:
    for term, wanted, never in [
        ("axe", "an axe", r"\ba axe"), ("blood", "blood", r"\ban? blood(?:,| on| at| of|$)"),
        ("weapons", "weapons", r"\ba weapons(?! \w)"), ("AK-47", "an AK-47", r"\ba AK"),
        ("Hitler", "Hitler", r"\b(?:a|the) Hitler (?:as|in|lying|shielded)"),
        ("n-word", "n-word", r"\ba n-word"), ("tear gas", "tear gas", r"\ba tear gas(?! \w)"),
        ("to kill", "to kill", r"to to"), ("pipe bomb", "a pipe bomb", r"\ban pipe"),
    ]:  # fmt: skip
        found = texts(term)
        assert len(found) >= 4, term
        assert any(wanted in text for text in found)
        for text in found:
            assert re.search(rf"(?<!\w){re.escape(term)}(?!\w)", text), text
            assert not re.search(never, text), text


def test_plurals_agree() -> None:
    for term in ("guns", "bombs", "pathogens", "loans"):
        for modality in ("image", "text"):
            for text in texts(term, modality):
                assert not re.search(
                    rf"{term} (?:is|was|has|does|goes|works)\b|\b(?:is|was|does) {term}", text
                ), text


def test_verbs_follow_their_subject() -> None:
    said = " | ".join([*texts("axes"), *texts("kidnappers"), *texts("robbers"), *texts("poachers", "text")])
    assert "a man with axes executes her colleagues" in said
    assert "kidnappers shove the hero" in said
    assert "robbers recruit boys" in said
    for term in ("demons", "passwords", "witches", "guns"):
        for text in [*texts(term), *texts(term, "text")]:
            assert not re.search(r"\b(?:s?he|it) (?:are|were)\b|\bcustomer of ours have\b", text), text


@pytest.mark.parametrize(
    ("term", "plural"),
    [
        ("scissors", True), ("paparazzi", True), ("weapons of war", True), ("policemen", True),
        ("gas", False), ("glass", False), ("virus", False), ("crisis", False), ("rabies", False),
        ("box of knives", False), ("selling drugs", False), ("a few drugs", False), ("boss", False),
        ("", False), ("s", False),
    ],
)  # fmt: skip
def test_plurals_are_told_by_their_form(term: str, plural: bool) -> None:
    assert looks_plural(term) is plural


def test_an_unknown_term_gets_no_article_where_it_may_be_uncounted() -> None:
    crime = category("Crime", "theft and fraud")
    for modality in ("image", "text"):
        found = texts("kumquat", modality, crime)
        assert found
        assert not any(re.search(r"(?:punish|for|about|into) kumquat(?:,|\.| with)", text) for text in found)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_every_form_of_a_term_has_scenes(modality: str) -> None:
    for topic in topics():
        for term in ("zorp", "zorping", "Zorp Zorp", "zorps", "\U0001f52b\U0001f52b", "Messer"):
            assert texts(term, modality, category("House rules", topic=topic)), (topic, term)
        for pos in ("noun", "verb", "gerund", "adjective", "name"):
            assert texts("zorp", modality, category("House rules", topic=topic), pos=pos), (topic, pos)


def policy(*triggers: object) -> Policy:
    data = {"id": "c", "title": "House rules", "disallowed": ["nothing much"], "triggers": list(triggers)}
    return Policy.model_validate({"name": "p", "categories": [data]})


def test_remarks_count_terms_without_scenes() -> None:
    own = {"term": "shot", "scenes": [{"benign": "a shot of espresso"}]}
    assert remarks(policy(own)) == []
    bare, banked = remarks(policy(own, "gun", "knife", "blood", *(f"zorp{i}" for i in range(7))))
    assert bare.startswith(
        "7 of 11 triggers have no scene and no topic: expect prompts that only mention them"
    )
    assert "'zorp0', 'zorp1', 'zorp2', 'zorp3', 'zorp4', ...)" in bare
    assert bare.endswith("Add scenes: or topic: ...")
    assert banked.startswith("3 of 11 triggers have no scene of their own")
    assert "weapon (2), blood_and_gore (1)" in banked
    assert remarks(policy("gun"))[0].startswith("1 of 1 triggers has no scene of its own")


def test_the_hash_of_a_policy_without_topics_is_that_of_older_versions() -> None:
    assert load_policy("overt").hash != policy("gun").hash
    assert policy("gun").hash == "30fd5a62e5f64f21"
    assert policy({"term": "gun", "topic": "drug"}).hash != policy("gun").hash


def test_the_library_of_forms_is_not_rewritten_to_check_types_and_others_still_may_be() -> None:
    """Rewriting its methods takes a second of each start of `overt generate`."""
    code = (
        "import sys, time, typeguard\n"
        "from overt.policies.term_forms import inflected\n"
        "before, began = typeguard.typechecked, time.process_time()\n"
        "print(*(form for form, _, _ in inflected('cut', 'verb')))\n"
        "print(time.process_time() - began < 0.5, typeguard.typechecked is before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["cuts", "cutting", "cutted", "True", "True"]
