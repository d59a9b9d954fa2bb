"""Reading answers: tolerant in form, strict in substance; a value or an AnswerError, never anything else."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from overt.data.answers import MAX_CHARS, parse_answer
from overt.data.chat import AnswerError, ChatReply
from overt.data.completion import read_completion
from overt.data.http import retry_after
from overt.generation.seeds import read_prompts
from overt.generation.synthesize import PROMPTS_SCHEMA
from overt.scoring.audit import SCHEMA

VERDICT = {"label": "benign", "reason": "a museum"}


def parse(text, schema=SCHEMA):
    return parse_answer(ChatReply(text=text), schema)


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


def test_a_bare_list_is_the_one_list_that_was_asked_for():
    found = read_prompts(ChatReply(text='[{"text": " a  shot ", "trigger": "shot"}]'), PROMPTS_SCHEMA)
    assert found == [{"text": "a shot", "trigger": "shot", "style": ""}]


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
        found = {"label": "unclear", "reason": str(error) or None}
    assert found["label"] in SCHEMA["properties"]["label"]["enum"]
    assert isinstance(found["reason"], str)


@given(TEXTS)
def test_any_text_is_a_list_of_prompts_or_an_answer_error(text):
    try:
        found = read_prompts(ChatReply(text=text), PROMPTS_SCHEMA)
    except AnswerError as error:
        found = [{"text": str(error), "trigger": "", "style": ""}]
    assert found
    assert all(entry["text"] and entry.keys() == {"text", "trigger", "style"} for entry in found)


@given(
    st.dictionaries(st.sampled_from(["label", "reason", "more"]), st.text(max_size=30)),
    st.sampled_from(["{}", "```json\n{}\n```", "Here:\n{}", "{}\nThat is all."]),
)
@example({"reason": "\\\x1f"}, "Here:\n{}")  # which the repairer reads otherwise
def test_json_comes_back_from_any_wrapping(data, wrapping):
    data = {**data, "label": "unsafe"}
    found = parse(wrapping.replace("{}", json.dumps(data)))
    # A fence inside a text may end the block early: what then remains is repaired, the label stands.
    assert found["label"] == "unsafe"
    if not {"`", "{", "}", "<"} & set(data.get("reason", "")):
        assert found["reason"] == data.get("reason", "")


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
