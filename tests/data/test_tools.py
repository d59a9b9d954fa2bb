"""Calls of tools: read strictly, written in OpenAI's shape or in words."""

import json

import pytest

from overt.data.chat import ChatRequest, Message
from overt.data.tool_words import in_words
from overt.data.tools import NotACall, Tool, ToolCall, action_text, read_actions, read_calls

SCALE = Tool("scale", "Set the replicas.", {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "replicas": {"type": "integer"},
        "mode": {"type": "string", "enum": ["now", "later"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "replicas"],
})  # fmt: skip
WAIT = Tool("wait", "Wait a round.")


def call(arguments, name="scale"):
    return ToolCall("call-1", name, arguments if isinstance(arguments, str) else json.dumps(arguments))


def test_a_call_in_form_is_read():
    (found,) = read_calls([call({"name": "web", "replicas": 3, "mode": "now", "tags": ["a"]})], [SCALE, WAIT])
    assert found.name == "scale"
    assert found.arguments["replicas"] == 3


def test_no_arguments_are_an_empty_object():
    assert read_calls([call("", "wait"), call("{}", "wait")], [WAIT])[0].arguments == {}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (call('{"name": "web", "repl'), "no JSON"),
        (call("[]"), "no JSON object"),
        (call({"name": "web"}), "lacks 'replicas'"),
        (call({"name": "web", "replicas": "3"}), "scale.replicas must be of type integer"),
        (call({"name": "web", "replicas": True}), "must be of type integer"),
        (call({"name": "web", "replicas": 2.5}), "must be of type integer"),
        (call({"name": "web", "replicas": 3, "mode": "soon"}), "one of now, later"),
        (call({"name": "web", "replicas": 3, "tags": ["a", 1]}), r"tags\[1\] must be of type string"),
        (call({"name": "web", "replicas": 3, "force": True}), "knows no 'force'"),
        (call({}, "scale_up"), "there is no tool 'scale_up'; there are scale, wait"),
        (call("{}", ""), "no call of a tool"),
        (call("[" * 100_000), "no JSON"),
        (call('{"name": "web", "replicas": NaN}'), "no number of JSON"),
        (call('{"name": "web", "replicas": -Infinity}'), "no number of JSON"),
        (call('{"name": "web", "replicas": 1e999}'), "no number of JSON"),
        (call('{"name": "web", "replicas": 1' + "0" * 4000 + "}"), "too large a number"),
        (call({"name": "web", "replicas": 2**63 + 1}), "too large a number"),
        (call('{"name": "web", "replicas": ' + "[" * 900 + "]" * 900 + "}"), "more than 32 deep"),
    ],
)
def test_a_call_out_of_form_says_why(wrong, why):
    with pytest.raises(NotACall, match=why):
        read_calls([wrong], [SCALE, WAIT])


def test_numbers_and_nesting_at_the_bounds_are_read():
    anything = Tool("set", "Set it.", {"type": "object", "properties": {"it": {}}})
    deep = '{"it": ' + "[" * 31 + "]" * 31 + "}"
    for text in (deep, '{"it": -9223372036854775808}', '{"it": 1.5e300}'):
        assert read_calls([call(text, "set")], [anything])
    with pytest.raises(NotACall, match="more than 32 deep"):
        read_calls([call('{"it": [' + deep + "]}", "set")], [anything])


def test_a_turn_has_a_bound_of_calls():
    one = call("{}", "wait")
    assert len(read_calls([one] * 100, [WAIT])) == 100
    with pytest.raises(NotACall, match="at most 100 calls"):
        read_calls([one] * 101, [WAIT])


@pytest.mark.parametrize("number", ["NaN", "1e999", "9" * 400])
def test_an_action_in_words_has_numbers_of_json(number):
    with pytest.raises(NotACall, match="action 1 is no JSON"):
        read_actions('<action>{"tool": "scale", "arguments": {"replicas": ' + number + "}}</action>")


def test_actions_of_an_answer_in_words():
    first, second = call({"name": "web", "replicas": 3}), call({}, "wait")
    text = f"I scale it.\n{action_text(first)}\nThen I wait.\n{action_text(second)}"
    assert [(c.name, json.loads(c.arguments)) for c in read_actions(text)] == [
        ("scale", {"name": "web", "replicas": 3}), ("wait", {}),
    ]  # fmt: skip
    assert read_actions("I would scale it, but I am only talking.") == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<action>{"tool": "wait"}', "one of the two is missing"),
        ('{"tool": "wait"}</action>', "one of the two is missing"),
        ("<action>wait()</action>", "action 1 is no JSON"),
        ('<action>{"name": "wait"}</action>', 'no object with a "tool"'),
        ('<action>{"tool": "wait", "thought": "hm"}</action>', "holds 'thought'"),
        ('<action>{"tool": "wait"}</action><action>[1]</action>', "action 2 is no object"),
    ],
)
def test_an_action_out_of_form_says_why(text, why):
    with pytest.raises(NotACall, match=why):
        read_actions(text)


def test_a_conversation_in_words():
    request = ChatRequest(
        (
            Message("system", "You run it."),
            Message("user", "Do it."),
            Message("assistant", "Well.", (), (call({"name": "web", "replicas": 3}), call({}, "wait"))),
            Message("tool", "scaled", (), (), "call-1"),
            Message("tool", "waited", (), (), "call-2"),
            Message("user", "And now?"),
        ),
        tools=(SCALE, WAIT),
    )
    worded = in_words(request)
    assert worded.tools == ()
    assert [turn.role for turn in worded.messages] == ["system", "user", "assistant", "user", "user"]
    system, _, said, results, _ = (turn.content for turn in worded.messages)
    assert system.startswith("You run it.")
    assert "- wait: Wait a round." in system
    assert [c.name for c in read_actions(said)] == ["scale", "wait"]
    assert said.startswith("Well.")
    assert results.startswith("Result of scale:\nscaled\n\nResult of ")
    assert not any(turn.calls or turn.call_id for turn in worded.messages)


def test_without_a_system_turn_the_tools_make_one():
    worded = in_words(ChatRequest((Message("user", "Do it."),), tools=(WAIT,)))
    assert [turn.role for turn in worded.messages] == ["system", "user"]
