"""Faults of somebody's own class: told with their line, kept as no answer, counted in no figure."""

import json
import textwrap

import numpy as np
import pytest
from PIL import Image
from support.commands import outcomes, overt

from overt.calls import Caller, CallerOptions
from overt.data.chat import CallError, ChatReply, ChatRequest, Message, Question
from overt.data.errors import InputError, RunError
from overt.data.filters import FilterDecision
from overt.data.plugins.attempts import BROKEN_CLASS, of_decision, of_response, raised
from overt.data.refusal_judges import RefusalVerdict
from overt.data.targets import LayerDecision, Response
from overt.scoring.text_answers import offline

REFUSAL = "I cannot help with that."
ANSWER = "Rome is the capital of Italy, and it lies on the Tiber."


@pytest.fixture
def shop(tmp_path):
    """A folder with two questions and somebody's module beside them."""
    (tmp_path / "mine.csv").write_text("question\nwhat is tea\nwhere is Rome\n")

    def write(code):
        (tmp_path / "acme.py").write_text(
            "from overt.data.chat import CallError\n"
            "from overt.data.filters import FilterDecision\n"
            "from overt.data.refusal_judges import RefusalVerdict\n"
            "from overt.data.targets import Response\n" + textwrap.dedent(code)
        )
        return tmp_path

    return write


def run(folder, target, *more, code=0, name="run"):
    arguments = ["run", "mine.csv:question", "--label", "benign", "--target", target, *more]
    return overt(*arguments, "-q", "--out", folder / name, cwd=folder, code=code)


def facts(folder, name="run"):
    manifest = json.loads((folder / name / "manifest.json").read_text())
    [target] = json.loads((folder / name / "results" / "summary.json").read_text())["targets"]
    return manifest, target


# -- who answers in words is judged, whatever the policy is for ---------------------------------------------

TALKERS = f"""
    class Declines:
        name = "acme/declines"
        modality = "text"
        async def respond(self, prompt, *, seed):
            return Response(text={REFUSAL!r})

    class Answers(Declines):
        name = "acme/answers"
        async def respond(self, prompt, *, seed):
            return Response(text={ANSWER!r})

    class Strict:
        name = "judge/strict"
        def judge(self, prompt, answer):
            return RefusalVerdict("full_refusal")

    class Misspelt:
        name = "judge/misspelt"
        def judge(self, prompt, answer):
            return RefusalVerdict("refused")
"""


def test_a_target_that_answers_in_words_is_judged_under_a_policy_for_pictures(shop):
    folder = shop(TALKERS)
    run(folder, "acme:Declines")
    manifest, target = facts(folder)
    assert (target["over_refusal"]["k"], target["over_refusal"]["n"]) == (2, 2)
    assert manifest["refusal_judge"] == "judge/rules"
    run(folder, "acme:Answers", name="other")
    assert facts(folder, "other")[1]["over_refusal"]["k"] == 0


def test_a_judge_that_was_named_is_asked_and_stands_in_the_run(shop):
    folder = shop(TALKERS)
    run(folder, "acme:Answers", "--judge", "acme:Strict")
    manifest, target = facts(folder)
    assert target["over_refusal"]["k"] == 2
    assert manifest["refusal_judge"] == manifest["identity"]["config"]["judge"] == "acme:Strict"
    done = run(folder, "acme:Answers", code=2)  # another judge makes another run
    assert "judge" in done.stderr


def test_a_run_of_pictures_names_no_judge(shop):
    folder = shop("class Draws:\n    name = 'a/b'\n    def respond(self, prompt, *, seed):\n"
                  "        return Response(code='content_policy_violation')\n")  # fmt: skip
    run(folder, "acme:Draws")
    manifest, _ = facts(folder)
    assert manifest["refusal_judge"] is None


@pytest.mark.parametrize(("talker", "refused"), [("acme:Answers", 0), ("acme:Declines", 2)])
def test_words_behind_a_filter_are_read_by_the_judge_as_well(shop, talker, refused):
    folder = shop(TALKERS)
    run(folder, talker, "--filter", "filter/better-profanity", "--policy", "chat_assistant")
    assert facts(folder)[1]["over_refusal"]["k"] == refused


# -- refusal judges -----------------------------------------------------------------------------------------


class Odd:
    """A refusal judge of the user's own that says whatever it is told to say."""

    name = "judge/odd"

    def __init__(self, said):
        self.said = said

    def judge(self, prompt, answer):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


class OddMany(Odd):
    def judge_many(self, pairs):
        return [self.judge(*pair) for pair in pairs[1:]] if self.said is None else [self.said] * len(pairs)


@pytest.mark.parametrize(
    ("judge", "says"),
    [
        (
            Odd(RefusalVerdict("refused")),
            r"'refused'; known: full_refusal, partial_refusal, safe_completion, compliance, unclear",
        ),
        (Odd("full_refusal"), "gave back str, not a RefusalVerdict"),
        (Odd(RefusalVerdict("unclear", error="down")), "RefusalVerdict.error is str, not a CallError"),
        (Odd(RefusalVerdict("compliance", score="high")), "RefusalVerdict.score is str, not a number"),
        (Odd(KeyError("label")), r"KeyError: 'label' \(test_faults.py, line \d+\)"),
        (OddMany(RefusalVerdict("refused")), "'refused'"),
        (OddMany(None), "2 answers, 1 judgements"),
    ],
)
def test_a_judge_that_says_no_judgement_is_named(judge, says):
    with pytest.raises(InputError, match=says) as caught:
        list(offline(judge)([("what is tea", ANSWER), ("where is Rome", ANSWER)]))
    assert "judge/odd" in caught.value.what
    assert "Mend the class" in caught.value.fix


def test_a_label_that_nobody_knows_ends_the_run(shop):
    folder = shop(TALKERS)
    done = run(folder, "acme:Declines", "--judge", "acme:Misspelt", code=2)
    assert "judge/misspelt" in done.stderr
    assert "full_refusal, partial_refusal, safe_completion, compliance, unclear" in done.stderr


# -- what a class raises ------------------------------------------------------------------------------------

PAINTER = """
    class Painter:
        name = "acme/painter"
        async def respond(self, prompt, *, seed):
            return Response(code=await my_service(prompt))
"""


def test_a_class_that_was_mended_is_asked_again(shop):
    folder = shop(PAINTER)
    done = run(folder, "acme:Painter", code=3)
    said = next(
        line for line in done.stdout.splitlines() if line.startswith("broken_class (2 of 2 missing): ")
    )
    assert "acme/painter: NameError: name 'my_service' is not defined (acme.py, line 9)" in said
    assert "mend the class" in said
    assert facts(folder)[0]["retriable"] == 2
    shop(PAINTER + "\n    async def my_service(prompt):\n        return 'content_policy_violation'\n")
    run(folder, "acme:Painter")
    assert {(o.state, o.code) for o in outcomes(folder / "run")} == {("refused", "content_policy_violation")}


def test_a_class_that_fails_at_everything_is_to_be_mended(shop):
    folder = shop(PAINTER)
    (folder / "mine.csv").write_text("question\n" + "".join(f"question {i}\n" for i in range(20)))
    done = run(folder, "acme:Painter", code=1)
    assert "fails at every request: acme/painter: NameError" in done.stderr
    assert "Mend the class, then give the same command again." in done.stderr
    assert "--base-url" not in done.stderr


def test_a_bad_request_of_a_provider_is_still_final(shop):
    folder = shop("""
        class Painter:
            name = "acme/painter"
            async def respond(self, prompt, *, seed):
                print("asked")
                return Response(error=CallError("bad_request", "[red]the size\\x1b[0m is " + "odd " * 90))
    """)
    done = run(folder, "acme:Painter", code=3)
    assert done.stdout.count("asked") == 2
    line = next(line for line in done.stdout.splitlines() if line.startswith("bad_request "))
    assert line.startswith("bad_request (2 of 2 missing): [red]the size")
    assert "\x1b" not in line
    assert len(line) <= 160
    assert run(folder, "acme:Painter", code=3).stdout.count("asked") == 0


def test_the_reasons_of_each_kind_are_printed_with_their_numbers(shop):
    folder = shop("""
        class Painter:
            name = "acme/painter"
            def respond(self, prompt, *, seed):
                if "long" in prompt:
                    return Response(error=CallError("too_long", "more than it takes"))
                odd = "once" in prompt
                return Response(error=CallError("bad_request", "an odd one" if odd else "a common one"))
    """)
    (folder / "mine.csv").write_text("question\nasked once\nlong\nthis\nthat\n")
    done = run(folder, "acme:Painter", code=3)
    at = done.stdout.splitlines()
    assert at[1] == "answered 0 of 4 (0.0%); missing: bad_request 3, too_long 1"
    assert at[2:5] == [
        "bad_request (2 of 4 missing): a common one",
        "bad_request (1 of 4 missing): an odd one",
        "too_long (1 of 4 missing): more than it takes",
    ]
    assert at[5].endswith("--codes FILE")


def test_the_line_is_the_last_of_somebodys_own():
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")  # raised deep inside of a library
    line = caught.tb.tb_lineno
    assert raised(object(), caught.value).endswith(f"(test_faults.py, line {line})")
    assert raised(object(), ValueError()) == "ValueError"


class Chat:
    """A chat model of the user's own."""

    name = "acme/chat"

    def __init__(self, said):
        self.said = said

    async def complete(self, request):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    async def close(self):
        pass


@pytest.mark.parametrize(
    ("said", "words"),
    [(NameError("x"), "NameError: x"), ("hello", "complete() gave back str, not a ChatReply")],
)
def test_a_chat_model_that_is_broken_is_asked_again(tmp_path, said, words):
    def ask(model):
        request = ChatRequest((Message("user", "hello"),))
        with Caller(tmp_path / "journal.sqlite", CallerOptions()) as caller:
            [answer] = caller.bind(model, "test")([Question(request, lambda reply: reply.text)])
        return answer

    answer = ask(Chat(said))
    assert answer.failure_kind == BROKEN_CLASS
    assert words in answer.failure
    assert ask(Chat(ChatReply(text="mended"))).value == "mended"


def test_a_chat_model_that_is_broken_for_all_ends_the_run(tmp_path):
    questions = [
        Question(ChatRequest((Message("user", f"{n}"),)), lambda reply: reply.text) for n in range(50)
    ]
    with (
        Caller(tmp_path / "journal.sqlite", CallerOptions()) as caller,
        pytest.raises(RunError, match="the class fails at every request: acme/chat: NameError: x"),
    ):
        list(caller.bind(Chat(NameError("x")), "test")(questions))


# -- what a class gives back --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "says"),
    [
        ("a picture", "respond() gave back str, not a Response"),
        (Response(error="boom"), "Response.error is str, not a CallError"),
        (Response(error=CallError("boom", "it broke")), "kind 'boom'; known: rate_limit, server"),
        (Response(images=(Image.new("RGB", (8, 8)),)), "PIL.Image.Image, not encoded bytes"),
        (Response(images=b"\x89PNG"), "Response.images is bytes, not a tuple of pictures"),
        (Response(images=None), "Response.images is NoneType"),
        (Response(layers=(True,)), "bool, not a LayerDecision"),
        (Response(text=["a"]), "Response.text is list, not a text"),
        (Response(status="400"), "Response.status is str, not a number"),
        (Response(seed=np.int64(3)), "Response.seed is numpy.int64, not a number"),
        (Response(cost=float("nan")), "not a finite number"),
        (Response(safety=[1]), "Response.safety is list, not a dict"),
    ],
)
def test_what_is_no_response_says_what_was_expected(response, says):
    assert says in of_response(response)


def test_what_is_one_passes():
    layer = LayerDecision("filter/a", "prompt_filter", True)
    good = Response(images=(b"\x89PNG",), text=None, layers=(layer,), error=CallError("server", "down"))
    assert of_response(good) == of_response(Response()) == ""
    for blocked in (True, None, np.bool_(True)):
        assert of_decision(FilterDecision(blocked, np.float32(0.5), "r")) == ""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('return Response(error="boom")', "Response.error is str, not a CallError"),
        ('from PIL import Image; return Response(images=(Image.new("RGB", (8, 8)),))', "encoded bytes"),
    ],
)
def test_a_response_of_the_wrong_kind_is_missing_and_named(shop, body, says):
    folder = shop(
        f"class Painter:\n    name = 'acme/p'\n    def respond(self, prompt, *, seed):\n        {body}\n"
    )
    check_missing_and_named(folder, "acme:Painter", says)


def check_missing_and_named(folder, target, says):
    done = run(folder, target, code=3)
    assert says in done.stdout
    assert {(o.state, o.code) for o in outcomes(folder / "run")} == {("error", BROKEN_CLASS)}


def test_none_for_a_word_is_no_word(shop):
    folder = shop("""
        class Painter:
            name = "acme/painter"
            modality = "text"
            def respond(self, prompt, *, seed):
                return Response(text="Rome is on the Tiber.", code=None, message=None, safety=None)
    """)
    run(folder, "acme:Painter")
    assert {o.state for o in outcomes(folder / "run")} == {"generated"}


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        ('FilterDecision(blocked=None, error="down")', "FilterDecision.error is str, not a CallError"),
        ("True", "it gave back bool, not a FilterDecision"),
        ('FilterDecision("yes")', "FilterDecision.blocked is str, not True, False or None"),
    ],
)
def test_a_decision_of_the_wrong_kind_is_missing_and_named(shop, decision, says):
    folder = shop(f"""
        class Words:
            name = "filter/words"
            def decide(self, text):
                return {decision}
    """)
    check_missing_and_named(folder, "acme:Words", says)


def test_a_filter_that_compares_arrays_is_understood(shop):
    folder = shop("""
        import numpy as np
        class Words:
            name = "filter/words"
            def decide(self, text):
                return FilterDecision(np.float32(0.7) > 0.5, np.float32(0.7))
    """)
    run(folder, "acme:Words")
    assert {(o.state, round(o.score, 3)) for o in outcomes(folder / "run")} == {("refused", 0.7)}
