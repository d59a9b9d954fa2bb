"""A chat model behind `answer-then-check`: what it is asked, what its reply counts as, what is passed on."""

import asyncio
from dataclasses import replace

import pytest

from overt import registry
from overt.calls.costs import PriceList
from overt.calls.finality import holds, is_journalled
from overt.calls.standing import Standing
from overt.data.answer_then_check import FIXED_REFUSAL, Checked, read_checked, written
from overt.data.batch import innermost
from overt.data.chat import CallError, ChatReply, ChatRequest, Message, RawResponse
from overt.data.errors import InputError
from overt.data.lanes import lane_of, lane_of_name
from overt.data.plugins.names import own_options
from overt.data.plugins.wrapped import WRAPPERS, inside, is_adaptive, provider_of
from overt.data.refusal_tokens import Continuation, Gate, TokenShare
from overt.data.replies import read_reply
from overt.generation.chat.answer_then_check import AnswerThenCheck
from overt.generation.chat.openai import OpenAIChat
from overt.generation.products import ChatTarget
from overt.scoring.summary.forms import form_of_outcome
from overt.tasks.targets import files_of, is_local, read_spec
from overt.tasks.trust import places_of
from overt.workers.load import loads_here

GOOD = written(Checked("I should answer so.", "It is safe.", "Here you are."))


class Inner:
    """A model that answers as it is told and keeps what it is asked."""

    name, max_concurrency, batch_size, device = "inner/m", 6, 3, "cuda:1"
    why_blind, sees_pictures, notes = "no eyes", False, ("a note",)

    def __init__(self, model="m", *, device=None, size: int = 1):
        self.reply, self.asked, self.given = ChatReply(text=GOOD, finish_reason="stop"), [], (device, size)

    async def complete(self, request):
        self.asked.append(request)
        return self.reply

    async def close(self):
        pass

    def reread(self, raw):
        return (
            None
            if raw.body == "lost"
            else ChatReply(text=raw.body, refusal="no" if raw.status == 400 else None)
        )


def ask(reply=None, *, adaptive=False, request=None):
    inner = Inner()
    inner.reply = reply or inner.reply
    model = AnswerThenCheck(inner, adaptive=adaptive)
    request = request or ChatRequest((Message("user", "hello"),), max_tokens=50)
    return asyncio.run(model.complete(request)), inner


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (ChatReply(text=GOOD), None),
        (ChatReply(text="  \n" + GOOD), None),
        (ChatReply(text=f"<think>hm</think>{GOOD}"), None),
        (ChatReply(text=f"<think>I must write <safety_check> first</think>\n{GOOD}"), None),
        (ChatReply(text=f"Sure! {GOOD}"), "format"),
        (ChatReply(text=GOOD + GOOD), "format"),
        (ChatReply(text=GOOD.removesuffix("Here you are.")), "format"),
        (ChatReply(text=GOOD.replace("<intended_answer_summary>", "")), "format"),
        (ChatReply(text=FIXED_REFUSAL), "format"),
        (ChatReply(text=""), "format"),
        (ChatReply(text="part", finish_reason="content_filter", refusal="content_filter"), None),
        (ChatReply(text="part", finish_reason="content_filter"), None),
        (ChatReply(text="", refusal="I will not."), None),
        (ChatReply(error=CallError("timeout", "late")), "timeout"),
    ],
)  # fmt: skip
def test_what_a_reply_counts_as(reply, kind):
    got, _ = ask(reply)
    assert (got.error.kind if got.error else None) == kind
    assert replace(got, error=None) == replace(reply, error=None)  # all else is as it came


def test_an_answer_without_any_tag_is_in_form_for_an_adaptive_one():
    assert ask(ChatReply(text="Paris."), adaptive=True)[0].error is None
    for text in ("", " ", GOOD + GOOD, "Paris.</safety_check>"):
        assert ask(ChatReply(text=text), adaptive=True)[0].error.kind == "format"


def test_what_stands_behind_another_refusal_token_is_read_alike():
    others = (
        Continuation("refuse", FIXED_REFUSAL),
        Continuation("a", GOOD),
        Continuation("b", "", "error", "timeout"),
    )
    gate = Gate((TokenShare("refuse", 0.2),), 0.2, "refuse", 0.2, "respond", 0.5, others)
    got, _ = ask(ChatReply(text=GOOD, gate=gate))
    assert [(one.state, one.code) for one in got.gate.others] == [
        ("error", "format"),
        (None, ""),
        ("error", "timeout"),
    ]
    plain, _ = ask(ChatReply(text=GOOD, gate=gate), adaptive=True)
    assert plain.gate == gate


@pytest.mark.parametrize("text", [GOOD.upper(), "<INTENDED_ANSWER_SUMMARY>x</INTENDED_ANSWER_SUMMARY> y"])
def test_a_miswritten_thought_is_no_direct_answer(text):
    assert ask(ChatReply(text=text), adaptive=True)[0].error.kind == "format"


def test_a_cut_off_reply_says_so():
    got, _ = ask(ChatReply(text=GOOD[:60], finish_reason="length"))
    assert "cut off at the token limit of 50" in got.error.message
    whole, _ = ask(ChatReply(text=GOOD, finish_reason="length"))  # the answer was cut off, not the thought
    assert whole.error is None


def test_what_the_model_is_asked():
    turns = (
        Message("system", "Be brief."),
        Message("user", "one"),
        Message("assistant", "1"),
        Message("user", "2"),
    )
    request = ChatRequest(turns, 0.3, 77, seed=5)
    _, inner = ask(request=request)
    [sent] = inner.asked
    assert sent.messages[0].content.startswith("Be brief.\n\n")
    assert replace(sent, messages=turns) == request
    assert sent.messages[1:] == turns[1:]
    example = sent.messages[0].content.partition("in this order:")[2].strip()
    assert isinstance(read_checked(example), Checked)  # what the instruction shows is in the format
    _, adaptive = ask(adaptive=True)
    assert "directly" in adaptive.asked[0].messages[0].content
    assert "directly" not in sent.messages[0].content


def test_what_wants_json_is_refused_before_it_is_paid_for():
    got, inner = ask(request=ChatRequest((Message("user", "hi"),), schema={"type": "object"}))
    assert got.error.kind == "bad_request"
    assert not inner.asked


def test_what_is_said_of_the_model_is_said_of_the_one_behind_it():
    model = AnswerThenCheck(Inner())
    target = ChatTarget(model)
    assert (model.batch_size, model.device, model.why_blind) == (3, "cuda:1", "no eyes")
    assert (target.max_concurrency, target.takes, lane_of(target)) == (6, ("turns", "tools"), "cuda:1")
    assert isinstance(innermost(target), Inner)
    assert model.notes[0] == "a note"
    assert target.facts["instruction"] == "answer_then_check@1"
    assert not hasattr(model, "post")
    assert model.reread(RawResponse(200, body=GOOD)).error is None
    assert model.reread(RawResponse(200, body="Paris.")).error.kind == "format"
    assert model.reread(RawResponse(400, body="Paris.")).error is None
    assert model.reread(RawResponse(200, body="lost")) is None


def test_names_of_what_is_behind():
    name = "answer-then-check/openai/m?base_url=http://x/v1&adaptive=true&prompt=a%26b.txt&timeout=3"
    assert inside(name) == "openai/m?base_url=http://x/v1&timeout=3"
    assert inside("answer-then-check/hf/a?adaptive=true") == "hf/a"
    assert inside("openai/m?adaptive=true") == "openai/m?adaptive=true"
    assert (provider_of(name), provider_of("hf/x/y")) == ("openai", "hf")
    assert is_adaptive(name)
    assert not is_adaptive("answer-then-check/openai/m?adaptive=false")
    for provider, options in WRAPPERS.items():
        maker = registry.resolve("overt.chat_models", f"{provider}/openai/m")
        assert options == set(own_options(maker))


def test_options_go_to_whom_they_are_for(monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sk-none")
    name = "answer-then-check/openai/m?adaptive=true&api_key_env=OTHER_KEY"
    model = registry.load_chat_model(name, base_url="http://x/v1", timeout=3.0)
    assert isinstance(model.behind, OpenAIChat)
    assert (model.name, model.api_key_env, model.address) == (name, "OTHER_KEY", "http://x/v1")
    assert isinstance(innermost(ChatTarget(model)), OpenAIChat)
    own = f"answer-then-check/{__name__}:Inner/x?size=4"
    assert registry.load_chat_model(own, device="cpu").behind.given == ("cpu", 4)
    assert registry.taken("overt.chat_models", own, {"device": "cpu", "base_url": "u"}) == {"device": "cpu"}
    with pytest.raises(InputError, match="takes no option 'adaptiv'"):
        registry.load_chat_model(f"answer-then-check/{__name__}:Inner/x?adaptiv=true")


def test_whoever_looks_at_a_name_finds_the_model_behind_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "own.txt").write_text("Plan.")
    hf = f"answer-then-check/hf/{tmp_path}?device=cuda:1&prompt={tmp_path}/own.txt"
    assert [path for path, _ in files_of(hf)] == [f"{tmp_path}/own.txt", str(tmp_path)]
    assert lane_of_name(hf) == "cuda:1"
    assert loads_here("overt.chat_models", hf)
    assert is_local(read_spec(hf), "text")
    assert not is_local(read_spec("answer-then-check/openai/m"), "text")
    prices = PriceList.load()
    assert prices.of("answer-then-check/openai/gpt-4o-mini?adaptive=true") == prices.of("openai/gpt-4o-mini")
    assert prices.of(hf).input == 0
    specs = [
        read_spec("answer-then-check/openai/m?base_url=http://elsewhere/v1"),
        read_spec("answer-then-check/a:B"),
    ]
    places = places_of(specs, {}, {"base_url": {}, "api_key_env": {}})
    assert [(p.model, p.address, p.variables, p.code) for p in places] == [
        ("openai/m", "http://elsewhere/v1", ("OPENAI_API_KEY",), ""),
        ("a:B", "", (), "a:B"),
    ]  # fmt: skip


def test_a_failure_of_the_format_holds_and_stops_nothing():
    error = CallError("format", "no")
    assert holds(error, has_answered=False, moved=True)
    assert is_journalled(ChatReply(text="x", error=error))
    channel = type("Channel", (), {"name": "m", "key_hint": "", "address": ""})()
    standing = Standing(channel, lambda: False)
    assert [standing.saw(error) for _ in range(50)] == [None] * 50
    assert standing.at_the_end() is None
    assert standing.has_answered


@pytest.mark.parametrize("summary", ["So:\n```\ncode", "`tick", "<answer>", "&lt;/safety_check&gt; in words"])
def test_what_a_user_sees_is_what_stands_behind_the_check(summary):
    text = written(Checked(summary, "It is safe.", "Here `you` are."))
    said = read_reply(text)
    assert said.answer.strip() == "Here `you` are."
    assert "It is safe." in said.thinking


def test_the_code_of_an_outcome():
    assert form_of_outcome("generated", "", GOOD) == "agrees"
    assert form_of_outcome("refused", "full_refusal", GOOD) == "refuses_safe"
    assert form_of_outcome("error", "unclear", GOOD) == "unclear"
    assert form_of_outcome("error", "format", GOOD[:-40]) == "malformed"
    assert form_of_outcome("error", "format", "") == "malformed"
    assert form_of_outcome("error", "format", "Paris.") == "plain"
    assert form_of_outcome("error", "timeout", "") is None
    assert form_of_outcome("refused", "content_filter", "") is None
