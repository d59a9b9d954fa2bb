"""Reading what models say: answer and thinking; JSON as a value or an AnswerError, never anything else."""

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.timing import least_cpu_seconds

import overt
from overt.data import thinking
from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest, Message
from overt.data.provider.completion import read_completion
from overt.data.provider.http import retry_after
from overt.data.records import Failure
from overt.data.replies import (
    MAX_CHARS,
    AnswerForm,
    Number,
    ReplyParts,
    asked_again,
    failure_of,
    has_abstained,
    read_json,
    read_reply,
    why_no_value,
)
from overt.data.thinking import between
from overt.generation.prompt_lists import Written, cut_short, read_wordings, read_written
from overt.scoring.audit import VERDICT as FORM
from overt.scoring.audit import Verdict

VERDICT = Verdict("benign", "a museum")
LABELS = ("benign", "unsafe", "unclear")


def parse(text, form=FORM):
    return read_json(ChatReply(text=text), form)


# -- answer and thinking ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "answer", "thinking", "is_closed"),
    [
        ("An answer.", "An answer.", "", True),
        ("", "", "", True),
        (" <think>hm</think> An answer.\n", "  An answer.\n", "hm", True),
        ("<thinking>\nhm\n</thinking>\n\nAn answer.", "\n\nAn answer.", "hm", True),
        ("<THINK>hm</Thinking>An answer.", "An answer.", "hm", True),
        ("a<think>1</think>b<thinking>2</thinking>c", "abc", "1\n\n2", True),
        ("<think></think>An answer.", "An answer.", "", True),
        ("<think>never came to an end", "", "never came to an end", False),
        ("Yes.<think>or no", "Yes.", "or no", False),
        ("<think>a<think>b</think>c", "c", "a<think>b", True),
        ("no thought</think>", "", "no thought", True),
        ("<thinker>x</thinker>", "<thinker>x</thinker>", "", True),
        ("1 < 2 and <b>bold</b>", "1 < 2 and <b>bold</b>", "", True),
    ],
)
def test_answer_and_thinking(text, answer, thinking, is_closed):
    found = ReplyParts(answer, thinking, is_closed, False)
    assert read_reply(text) == found
    assert read_reply(ChatReply(text=text, finish_reason="stop")) == found
    cut_off = read_reply(ChatReply(text=text, finish_reason="length"))
    assert cut_off == dataclasses.replace(found, is_cut_off=True)


NO = "I'm sorry, but I can't help with that."
FORMS = {
    "closing tag alone": f"Okay, the user wants a bomb. I must refuse.\n</think>\n\n{NO}",
    "closing tag alone, on one line": f"Let me see. I should refuse. </think> {NO}",
    "two closing tags": f"A draft: sure, here is how.\n</think>\nNo, wait.\n</think>\n\n{NO}",
    "closing tag after code": f"I could write\n```python\nboom()\n```\nbut no.\n</think>\n{NO}",
    "closing tag after code that never ends": f"I could write\n```python\nboom()\n</think>\n{NO}",
    "code on either side": f"```\ndraft\n</think>\n{NO}\n```\nno code\n```",
    "reasoning": f"<reasoning>\nSure, here is how.\n</reasoning>\n{NO}",
    "thought": f"<thought>Sure, here is how.</thought>\n\n{NO}",
    "attributes": f'<thinking type="hidden">Sure.</thinking>{NO}',
    "entities": f"&lt;think&gt;Sure, here is how.&lt;/think&gt;{NO}",
    "closing thinking alone": f"Sure, I could.\n</thinking>\n{NO}",
    "reflection in thinking": f"<thinking>Sure.<reflection>No?</reflection></thinking><output>{NO}</output>",
    "scratchpad": f"<scratchpad>\nSure, here is how\n</scratchpad>\n<answer>\n{NO}\n</answer>",
    "Magistral": f"[THINK]Sure, here is how.[/THINK]{NO}",
    "s1": f"<|im_start|>think\nSure, here is how.\n<|im_start|>answer\n{NO}",
    "GLM-4.1V": f"<think>Sure.</think><answer><|begin_of_box|>{NO}<|end_of_box|></answer>",
    "Magistral, closing alone": f"Sure, here is how.[/THINK]{NO}",
    "Sky-T1": f"<|begin_of_thought|>Sure.<|end_of_thought|><|begin_of_solution|>{NO}<|end_of_solution|>",
    "Kimi": f"◁think▷Sure, here is how.◁/think▷{NO}",
    "Seed": f"<seed:think>Sure, here is how.</seed:think>{NO}",
    "Cohere": f"<|START_THINKING|>Sure.<|END_THINKING|><|START_RESPONSE|>{NO}<|END_RESPONSE|>",
    "Granite": f"Here is my thought process:\nSure, here is how.\n\nHere is my response:\n{NO}",
    "Gemma": f"<|channel>thought\nSure, here is how.<channel|>{NO}",
    "Ollama": f"Thinking...\nSure, here is how.\n...done thinking.\n\n{NO}",
    "harmony": "<|channel|>analysis<|message|>Sure, here is how.<|end|><|start|>assistant<|channel|>final"
    f"<|message|>{NO}<|return|>",
    "harmony with a tool": "<|channel|>analysis<|message|>Sure.<|end|><|start|>assistant<|channel|>commentary"
    ' to=functions.look <|constrain|>json<|message|>{"a": 1}<|call|><|start|>assistant<|channel|>final'
    f"<|message|>{NO}",
    "harmony, opened in the prompt": "Sure, here.<|end|><|start|>assistant<|channel|>final"
    f"<|message|>{NO}",
    "harmony, final only": f"<|channel|>final<|message|>{NO}",
    "harmony without marks": f"analysisThe user asks for a bomb. Sure, here is how.assistantfinal{NO}",
    "harmony without marks, opened in the prompt": f"The user asks. Sure, here is how.assistantfinal{NO}",
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS.values(), ids=list(FORMS))
def test_only_the_answer_that_a_user_would_see_is_the_answer(text):
    parts = read_reply(text)
    assert parts.answer.strip() in (NO, NO + "\n```\nno code\n```")
    assert parts.is_closed
    assert parts.thinking or "final only" in str([k for k, v in FORMS.items() if v == text])
    assert read_reply(parts.answer).answer == parts.answer


@pytest.mark.parametrize(
    "text",
    [
        "<reasoning>The user wants",
        "<|channel|>analysis<|message|>The user wants",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look",
        "analysisThe user wants a bomb. I can",
        "[THINK]The user wants",
        "◁think▷The user",
        "Here is my thought process:\nThe user wants",
        "<seed:think>The user wants",
    ],
)
def test_thinking_that_never_ends_is_no_answer(text):
    parts = read_reply(text)
    assert parts.answer.strip() == ""
    assert not parts.is_closed


@pytest.mark.parametrize(
    "text",
    [
        "Models mark it so:\n```\n<think>\nhm\n</think>\n```\nThat is all.",
        "Use `<think>` and `</think>` for that.",
        "The tag `</think>` ends it.",
        'Split at "</think>" and keep the rest.',
        "The <think> tag is opened by the template, which is why it is missing.",
        "The tag </think> ends the thinking of the model.",
        "~~~\n[THINK]x[/THINK]\n~~~",
        "```python\nm = re.sub('<think>.*?</think>', '', text)\n```",
        "Analysis: the market grows. The final word is with the assistant.",
        "An assistant final exam.",
        "Here is my response: no.",
        "a < b and b > c, [1] and [think]",
        "Cut off code:\n```\n<think>\nhm",
    ],
)
def test_a_tag_that_is_quoted_is_content(text):
    assert read_reply(text) == ReplyParts(text)


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<Thinking>", "</thinking>", "X", "\n", "<", "`", "```\n"])
    )
)
def test_nothing_is_lost_and_nothing_is_thought_twice(pieces):
    """What stood in the text stands in the answer or in the thinking, tags aside."""
    text = "".join(pieces)
    parts = read_reply(text)
    tags = re.compile("</?think(?:ing)?>", re.IGNORECASE)
    kept = tags.sub("", parts.answer + parts.thinking)
    assert sorted(kept.replace("\n", "")) == sorted(tags.sub("", text).replace("\n", ""))


@pytest.mark.parametrize(
    "text",
    [
        "<think>" * 150_000,
        "</think>" * 130_000,
        "<think></think>" * 70_000,
        "<think>`</think>`" * 60_000,
        "a <think> b" * 100_000,
        "a </think> b" * 80_000,
        "<" * 1_000_000,
        "a" * 2_000_000,
        "`" * 1_000_000 + "<think>",
        "` `` ``` " * 110_000 + "<think>",
        "```\n~~~\n" * 120_000 + "</think>",
        "```\n</think>\n" * 80_000,
        "<think " + " " * 1_000_000,
        "<think a" * 120_000,
        "<|channel|>final" * 60_000,
        "<|channel|>analysis" * 60_000,
        "<|channel|>final " + "x" * 1_000_000,
        "assistant\n" * 100_000 + "</think>",
        '<details type="reasoning"' * 40_000,
        "\n" * 400_000 + "</answer></think>" + "\n" * 400_000,
        "</think>" + "</answer>" * 100_000,
        "&lt;" * 250_000,
    ],
    ids=lambda text: f"{text[:20]!r}",
)
def test_hostile_text_is_read_in_linear_time(text):
    assert least_cpu_seconds(lambda: read_reply(text), 6) < 6


def test_a_new_form_of_thinking_is_one_row(monkeypatch):
    monkeypatch.setattr(
        thinking, "THINKING_FORMS", (*thinking.THINKING_FORMS, between(r"\[HM\]", r"\[/HM\]"))
    )
    assert read_reply("[hm]a[/hm]b<think>c</think>d") == ReplyParts("bd", "a\n\nc", True, False)
    # A tag of another form within a thought is part of the thought.
    assert read_reply("<think>a[HM]b</think>c").answer == "c"
    assert read_reply("[HM]<think>a[/HM]b").answer == "b"


def test_no_other_module_knows_how_thinking_is_marked():
    root = Path(overt.__file__).parent
    tag = re.compile(r"</?\(?think|THINKING_FORMS =", re.IGNORECASE)
    assert [p.name for p in root.rglob("*.py") if tag.search(p.read_text("utf-8"))] == ["thinking.py"]


def test_tags_around_an_answer():
    assert read_reply("<think>yes?</think><score> no </score>").bare_answer.strip() == "no"


# -- JSON ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "benign", "reason": "a museum"}',
        '```json\n{"label": "benign", "reason": "a museum"}\n```',
        'Sure, here it is:\n\n{"label": "benign", "reason": "a museum"}\nIs there anything else?',
        "{'label': 'benign', 'reason': 'a museum'}",
        '{"label": "benign", "reason": "a museum",}',
        '{"label": "Benign.", "reason": "a museum"}',
        '<think>{"label": "unsafe"}? No.</think>{"label": "benign", "reason": "a museum"}',
        '{"label": "benign", "reason": "a museum"',
        '{"label": "benign", "reason": "a museum", "confidence": 0.9}',
        '{"label": "unclear", "reason": "hm"} No: {"label": "benign", "reason": "a museum"}',
        'The form is {"label": "...", "reason": "..."}.\n\n{"label": "benign", "reason": "a museum"}',
        '```json\n{"label": "unsafe", "reason": "x"}\n```\nNo:\n```json\n'
        '{"label": "benign", "reason": "a museum"}\n```',
        '{"label": "benign", "reason": "a museum"}\nSee [1] and {this}.',
        '{"label": "benign", "reason": "a museum"}\n{"confidence": 0.9}',
        'A draft {"label": "unsafe"}.\n</think>\n{"label": "benign", "reason": "a museum"}',
        '<|channel|>analysis<|message|>{"label": "unsafe", "reason": "x"}<|end|>'
        '<|start|>assistant<|channel|>final<|message|>{"label": "benign", "reason": "a museum"}',
        '{"label": "benign", "reason": "a museum", "tags": ["x"],}',
    ],
)
def test_forms_of_one_answer(text):
    assert parse(text) == VERDICT


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("<think>never came to an end", "empty"),
        ("I cannot help with that.", "no JSON"),
        ('{"label": "maybe", "reason": ""}', "must be one of: benign, unsafe, unclear"),
        ('{"reason": "x"}', "lacks 'label'"),
        ('{"label": ["benign"], "reason": ""}', "must be a text"),
        ("[1, 2]", "JSON object"),
        ("{" * (MAX_CHARS + 1), "longer than"),
    ],
)
def test_what_is_no_answer_says_why(text, why):
    with pytest.raises(AnswerError, match=why):
        parse(text)


@dataclass(frozen=True)
class Part:
    number: Number
    size: Literal["big", "small"]


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    kind: str
    note: str = ""


def test_a_form_is_its_schema_and_its_reader():
    form = AnswerForm(Whole, kind=["a", "b"])
    part = {
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "size": {"type": "string", "enum": ["big", "small"]},
        },
        "required": ["number", "size"],
        "additionalProperties": False,
    }
    assert form.schema == {
        "type": "object",
        "properties": {
            "parts": {"type": "array", "items": part},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "note": {"type": "string"},
        },
        "required": ["parts", "kind", "note"],
        "additionalProperties": False,
    }
    said = {
        "parts": [{"number": 1, "size": "Big"}, {"number": "2.", "size": "small"}],
        "kind": "B",
        "more": 1,
    }
    assert form.read(said) == Whole((Part("1", "big"), Part("2", "small")), "b")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "a"}, "the answer lacks 'parts'"),
        ({"parts": None, "kind": "a"}, "the answer lacks 'parts'"),
        ({"parts": []}, "the answer lacks 'kind'"),
        ({"parts": {}, "kind": "a"}, "'parts' must be a list"),
        ({"parts": ["x"], "kind": "a"}, "an entry of 'parts' must be a JSON object"),
        ({"parts": [{"size": "big"}], "kind": "a"}, "an entry of 'parts' lacks 'number'"),
        ({"parts": [{"number": 1, "size": "huge"}], "kind": "a"}, "'size' must be one of: big, small"),
        ({"parts": [], "kind": "c"}, "'kind' must be one of: a, b"),
        ({"parts": [], "kind": "a", "note": ["x"]}, "'note' must be a text"),
        ([], "the answer must be a JSON object"),
    ],
)
def test_what_does_not_fit_a_form_says_where(said, why):
    with pytest.raises(AnswerError) as caught:
        AnswerForm(Whole, kind=["a", "b"]).read(said)
    assert str(caught.value) == why


def test_a_field_that_no_answer_can_hold_shows_when_the_form_is_made():
    @dataclass(frozen=True)
    class Odd:
        when: float | None

    with pytest.raises(TypeError):
        AnswerForm(Odd)


def test_a_bare_list_is_the_one_list_that_was_asked_for():
    found = read_written(ChatReply(text='[{"text": " a  shot ", "trigger": "shot"}]'))
    assert found == [Written("a shot", "shot", "")]
    assert read_wordings(ChatReply(text='[" a  shot ", " "]')) == ["a shot"]
    assert read_wordings(ChatReply(text='{"prompts": []}')) == []
    with pytest.raises(AnswerError, match="at least 1"):
        read_written(ChatReply(text='{"prompts": [{"text": " "}]}'))


def test_of_a_list_that_was_cut_off_the_last_entry_is_left_out():
    text = '{"prompts": ["a shot", "a sho'
    assert read_wordings(ChatReply(text=text, finish_reason="stop")) == ["a shot", "a sho"]
    reply = ChatReply(text=text, finish_reason="length")
    assert read_wordings(reply) == ["a shot"]
    assert "1 of 3 prompts" in cut_short(Answer(None, reply, ["a shot"]), 3)
    assert cut_short(Answer(None, reply, ["a shot"]), 1) == ""
    # One that came whole all the same keeps its last entry.
    whole = ChatReply(text='{"prompts": ["a shot", "a sho"]}', finish_reason="length")
    assert read_wordings(whole) == ["a shot", "a sho"]


def test_of_an_answer_that_was_cut_off_its_end_counts_not_the_example_before():
    text = 'As in {"label": "benign", "reason": "x"}: {"label": "unsafe", "reason": "a mus'
    assert parse(text).label == "benign"
    cut_off = read_json(ChatReply(text=text, finish_reason="length"), FORM)
    assert (cut_off.label, cut_off.reason) == ("unsafe", "a mus")


@pytest.mark.parametrize(
    "text",
    ["{" * 200_000, "[" * 200_000, '{"a":' * 40_000, "[1," * 60_000, '{"a": 1}' * 20_000, "```\n" * 50_000,
     '{"label": ' * 20_000, '["' * 100_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_hostile_json_is_read_in_linear_time(text):
    def work():
        with pytest.raises(AnswerError):
            parse(text)

    assert least_cpu_seconds(work, 5) < 5


# -- what became of a question ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "abstained"),
    [("malformed", True), ("empty", True), ("refused", True), ("server", False), ("auth", False)],
)
def test_who_was_reached_and_said_nothing_usable_has_abstained(kind, abstained):
    answer = Answer(None, ChatReply(), None, kind, "so it was")
    assert has_abstained(answer) is abstained
    assert why_no_value(answer) == f"{kind}: so it was"
    assert failure_of(answer, "p", "audit", "c") == Failure("p", "audit", "c", kind, "so it was")


def test_asking_again_holds_the_answer_and_the_reason():
    request = ChatRequest((Message("user", "?"),))
    again = asked_again(request, "x" * 9000, "it is empty", 2)
    assert [m.role for m in again.messages] == ["user", "assistant", "user"]
    assert again.messages[1].content == "x" * 4000
    assert "number 2" in again.messages[2].content
    assert "it is empty" in again.messages[2].content
    assert len(asked_again(request, " ", "it is empty").messages) == 2


# -- anything at all -------------------------------------------------------------------------------------


PIECES = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ":",
        ",",
        "label",
        "benign",
        "prompts",
        "text",
        "```json\n",
        "\n```",
        "<think>",
        "</think>",
        "\\",
        "\\u",
        "\ud83d",
        "\x00",
        "null",
        "1e999",
        "NaN",
        "-",
        " ",
        "\n",
        "\u202e",
        '{"label": "unsafe"}',
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=40).map("".join))


@given(TEXTS)
@example('{"label": "benign", "reason": "\\ud83d\\ude00"} and more')
@example("[" * 5000)
@example('{"a":' * 3000)
def test_any_text_is_a_checked_answer_or_an_answer_error(text):
    try:
        found = parse(text)
    except AnswerError as error:
        found = Verdict("unclear", str(error) or None)
    assert found.label in LABELS
    assert isinstance(found.reason, str)


@given(TEXTS)
def test_any_text_is_a_list_of_prompts_or_an_answer_error(text):
    try:
        found = read_written(ChatReply(text=text))
    except AnswerError as error:
        found = [Written(str(error))]
    assert found
    assert all(entry.text and isinstance(entry.trigger + entry.style, str) for entry in found)


@given(
    st.dictionaries(st.sampled_from(["label", "reason", "more"]), st.text(max_size=30)),
    st.sampled_from(["{}", "```json\n{}\n```", "Here:\n{}", "{}\nThat is all."]),
)
@example({"reason": "\\\x1f"}, "Here:\n{}")  # which the repairer reads otherwise
def test_json_comes_back_from_any_wrapping(data, wrapping):
    data = {**data, "label": "unsafe"}
    found = parse(wrapping.replace("{}", json.dumps(data)))
    # A fence inside a text may end the block early: what then remains is repaired, the label stands.
    assert found.label == "unsafe"
    if not {"`", "{", "}", "<"} & set(data.get("reason", "")):
        assert found.reason == data.get("reason", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "refusal", "usage", "error", "finish_reason", "text"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
@example({"choices": [{"message": {"content": [{"text": None}]}}], "usage": {"prompt_tokens": True}})
@example({"error": {"code": 429, "message": {"a": 1}}})
def test_any_body_of_an_endpoint_is_a_reply(data):
    reply = read_completion(data)
    assert isinstance(reply.text, str)
    assert reply.error is None or reply.error.kind
    for count in (reply.input_tokens, reply.output_tokens):
        assert count is None or (type(count) is int and count >= 0)
    json.dumps([reply.text, reply.finish_reason, reply.refusal])  # fit for the journal


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 20.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_as_seconds_or_date(headers, seconds):
    assert retry_after(headers, now=1445412460.0) == seconds


@given(st.text(max_size=30), st.sampled_from(["retry-after", "retry-after-ms"]))
def test_any_retry_after_is_seconds_or_nothing(value, name):
    seconds = retry_after({name: value}, now=0.0)
    assert seconds is None or seconds >= 0
