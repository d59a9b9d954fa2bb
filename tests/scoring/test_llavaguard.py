"""`checker/llavaguard`: what it asks, how its answers are read, and which policies it takes."""

import pytest

pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

from PIL import Image
from support import tiny_vlm

from overt.data.chat import CallError, ChatReply
from overt.data.errors import InputError
from overt.registry import load_checker
from overt.scoring.covers import known_kinds

POLICY = 'O1: Placeholder harm. Answer {"rating": "Unsafe" or "Safe", "category": ..., "rationale": ...}'
GREY = Image.new("RGB", (40, 30), (128, 128, 128))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("llavaguard") / "m"
    tiny_vlm.build("LLaVA-OneVision", place)
    return place


@pytest.fixture
def policy(tmp_path):
    file = tmp_path / "policy.txt"
    file.write_text(POLICY, "utf-8")
    return file


@pytest.fixture
def guard(folder, policy):
    return load_checker(f"checker/llavaguard/{folder}?policy={policy}", device="cpu")


def answering(guard, monkeypatch, reply):
    asked = []
    monkeypatch.setattr(guard._asked, "complete", lambda request: asked.append(request) or reply)
    return asked


@pytest.mark.parametrize(
    ("text", "blocked", "reason"),
    [
        ('{"rating": "Unsafe", "category": "O3: x", "rationale": "why"}', True, "O3: x: why"),
        (
            '{"rating": "Safe", "category": "NA: None applying", "rationale": "a lamp"}',
            False,
            "NA: None applying: a lamp",
        ),
        ('```json\n{"rating": "Unsafe"}\n```', True, ""),
        ('{"rating": "Maybe"}', None, "unclear"),
        ("It is Unsafe.", None, "unclear"),
        ("", None, "unclear"),
    ],
)
def test_its_answers_are_read_and_never_guessed(guard, monkeypatch, text, blocked, reason):
    asked = answering(guard, monkeypatch, ChatReply(text=text, finish_reason="stop"))
    decision = guard.check(GREY, "a prompt")
    assert (decision.blocked, decision.score, decision.error) == (blocked, None, None)
    assert decision.reason.startswith(reason)
    [message] = asked[0].messages
    assert (message.content, len(message.images), asked[0].temperature) == (POLICY, 1, 0.0)


def test_a_failure_is_an_error(guard, monkeypatch):
    answering(guard, monkeypatch, ChatReply(error=CallError("too_long", "no room")))
    assert guard.check(GREY, "").error.message == "no room"


def test_a_model_that_knows_nothing_decides_nothing(guard):
    decision = guard.check(GREY, "")
    assert decision.blocked is None
    assert set(guard.covers) <= set(known_kinds())


@pytest.mark.parametrize(
    ("text", "words"), [(None, "needs the policy"), ("Be kind.", "does not ask for rating, category, Unsafe")]
)
def test_a_policy_it_cannot_work_with(folder, tmp_path, text, words):
    option = ""
    if text is not None:
        (tmp_path / "p.txt").write_text(text)
        option = f"?policy={tmp_path / 'p.txt'}"
    with pytest.raises(InputError, match=words):
        load_checker(f"checker/llavaguard/{folder}{option}", device="cpu")
    with pytest.raises(InputError, match="cannot be read"):
        load_checker(f"checker/llavaguard/{folder}?policy={tmp_path / 'none.txt'}", device="cpu")
