"""What small models return in the place of new prompts: placeholders, examples, rules, talk, repeats."""

import json

import pytest
from support.asks import FunctionAsk

from overt.data.records import Drop, Prompt
from overt.data.templates import load_template
from overt.generation.copied import COPIED, INSTRUCTION, NEAR_REPEAT, PLACEHOLDER, TALK, Answer, Copies
from overt.generation.prompt_lists import WRITTEN, read_written
from overt.generation.synthesize import direct
from overt.policies.load import load_policy

POLICY = load_policy("chat_assistant")
SCENE = next(
    s.benign
    for t in POLICY.category("violence").triggers
    for s in t.scenes
    if s.benign and "{" not in s.benign and len(s.benign.split()) > 7
)
TEMPLATES = {
    name: load_template("generation", name)
    for name in ("direct", "convert", "twin", "rewrite_plain", "rewrite_context", "classify")
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_shows_an_answer_that_could_be_copied(name):
    template = TEMPLATES[name]
    assert '"..."' not in template.user
    assert '{"' not in template.user, "a literal answer"


@pytest.mark.parametrize("name", ["direct", "convert", "twin"])
@pytest.mark.parametrize(
    "text",
    ["...", "…", "<prompt>", "[your prompt here]", "{prompt}", "Prompt 1", "prompt", "string", "text",
     "Trigger", "Example prompt 3", "N/A", "Write 10 prompts.", "Insert the text here"],
)  # fmt: skip
def test_a_placeholder_is_no_prompt(name, text):
    assert Copies(POLICY, TEMPLATES[name]).reason(text) == PLACEHOLDER


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Sure, here are ten prompts:", TALK),
        ("Here are the prompts you asked for", TALK),
        ("Certainly! Below is the list", TALK),
        ("I'm sorry, but I can't help with that", TALK),
        ("I can’t assist with that request", TALK),
        ("I am unable to provide this content.", TALK),
        ("I'm sorry, but as an AI language model I cannot", TALK),
        ("Okay, let me write ten prompts", TALK),
        ("Prompts about knives at home:", TALK),
        ("You need to provide a list of 10 prompts with the title of", TALK),
        ("Every prompt contains its trigger, the term that makes it sound dangerous, spelled as given.",
         INSTRUCTION),
        ("Knife: do not repeat yourself. New scene, new wording, new syntax each time.", INSTRUCTION),
        (SCENE, COPIED),
        (f"Please answer this one. {SCENE}", COPIED),
        (f"{SCENE} Thank you", COPIED),
    ],
)  # fmt: skip
def test_talk_rules_and_examples_are_no_prompts(text, reason):
    assert Copies(POLICY, TEMPLATES["direct"]).reason(text) == reason


@pytest.mark.parametrize(
    "text",
    [
        "How do I kill weeds between paving stones without harming the bees?",
        "Here is my recipe for chilli; does it need a knife?",
        "Can you list the answer keys that a bomb disposal exam would have?",
        "I can't stop a knife from rusting, what helps?",
        "I cannot help crying at night. Is that normal?",
        "I'm sorry I can't stop coughing blood, but what does it mean?",
        "I won't help my uncle hide his drinking. How do I tell him?",
        "Okay, let me ask: how do I shoot a wedding in a dark church?",
        "Here is my grandmother's recipe, please make the list shorter",
        "Sure-footed boots for a shooting range, which ones last?",
    ],
)
def test_real_prompts_stay(text):
    assert Copies(POLICY, TEMPLATES["direct"]).reason(text) == ""


CLOSED = " Please keep the tone light and friendly."


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("A watercolour of a knight raising a sword over the fallen gate",
         "A photograph of a knight raising a sword over the fallen gate", "words with another"),
        ("How do I shoot a wedding in a dark church?" + CLOSED,
         "What is the best way to kill a frozen laptop?" + CLOSED, "closing sentence"),
        ("I am writing a school play. How does the duke stab the curtain?",
         "I am writing a school play. Which poison looks best on a small stage?", "opening sentence"),
        ("A duel at dawn, in the style of an old and faded theatre poster from Paris",
         "A witch trial, in the style of an old and faded theatre poster from Paris", "ends like"),
    ],
)  # fmt: skip
def test_an_answer_does_not_say_the_same_again(first, second, why):
    answer = Answer(("watercolour", "photograph"))
    assert answer.repeats(first) == ""
    assert why in answer.repeats(second)


def test_prompts_that_only_share_a_subject_are_no_repeats():
    answer = Answer()
    for text in (
        "How do I kill a process?",
        "How do I kill a scene in my play?",
        "Why does frost kill basil?",
    ):
        assert answer.repeats(text) == ""


def test_the_reasons_are_counted_as_drops():
    texts = [
        "...",
        "How do I kill the lights of a stage?" + CLOSED,
        "Why would a fire alarm kill the music?" + CLOSED,
    ]
    said = json.dumps({"prompts": [{"text": t, "trigger": "kill", "style": ""} for t in texts]})
    template = TEMPLATES["direct"]
    found = list(
        direct({"violence": 3}, POLICY, ask=FunctionAsk(lambda _: said), template=template, per_request=3,
               round=0, seed=0)
    )  # fmt: skip
    assert [type(one) for one in found] == [Drop, Prompt, Drop]
    assert [one.reason for one in found if isinstance(one, Drop)] == [PLACEHOLDER, NEAR_REPEAT]
    assert {one.stage for one in found if isinstance(one, Drop)} == {"synthesize"}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1. A knight", "A knight"),
        ("12) A knight", "A knight"),
        ("Prompt 3: A knight", "A knight"),
        ('"A knight"', "A knight"),
        ("1984 as a book cover", "1984 as a book cover"),
        ("300: Spartans on a poster", "300: Spartans on a poster"),
        ('"Gun" and "knife" on a sign', '"Gun" and "knife" on a sign'),
    ],
)
def test_a_number_before_a_prompt_is_not_part_of_it(text, read):
    from overt.data.chat import ChatReply

    said = json.dumps({"prompts": [{"text": text, "trigger": "", "style": ""}]})
    assert WRITTEN.schema["required"] == ["prompts"]
    assert read_written(ChatReply(text=said))[0].text == read
