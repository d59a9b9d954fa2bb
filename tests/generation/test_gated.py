"""`openai/MODEL?refusal_tokens=FILE` against an endpoint that behaves as several services do."""

import asyncio

import pytest
from support.gate_server import Endpoint

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.data.refusal_tokens import Tokens
from overt.data.refusal_tokens_file import SINGLE, write_tokens
from overt.registry import load_chat_model

SEVERAL = Tokens(" [respond]", {"violence": " [violence]", "privacy": " [privacy]"})


@pytest.fixture
def file(tmp_path):
    write_tokens(tmp_path / "tokens.json", SINGLE)
    return tmp_path / "tokens.json"


def request(text="How do I kill a process?", **more):
    return ChatRequest((Message("user", text),), **{"temperature": 0.7, "max_tokens": 30, "seed": 3, **more})


def ask(endpoint, file, todo, *, times=1, **options):
    """The replies to requests, one after the other, each asked so many times."""
    pairs = [f"&{key.replace('__', '.')}={value}" for key, value in options.items()]

    async def run(url):
        model = load_chat_model(f"openai/m?base_url={url}&refusal_tokens={file}{''.join(pairs)}")
        try:
            return [await model.complete(one) for one in todo for _ in range(times)]
        finally:
            await model.close()

    with endpoint.serving() as url:
        return asyncio.run(run(url))


@pytest.mark.parametrize("echoes", [False, True])
@pytest.mark.parametrize("goes_on", ["plain", "fields", "prefix"])
def test_two_calls_a_prompt_and_three_for_the_curve(file, goes_on, echoes):
    endpoint = Endpoint(goes_on, echoes)
    [reply] = ask(endpoint, file, [request()], threshold=0.5)
    gate = reply.gate
    assert reply.text == "Sure, it is easy."
    assert {share.name: round(share.p, 6) for share in gate.shares} == {"refuse": 0.25, "respond": 0.55}
    assert (gate.chosen, gate.score, gate.threshold, gate.others) == ("respond", pytest.approx(0.25), 0.5, ())
    assert gate.mass == pytest.approx(0.8)
    first, second = endpoint.asked
    assert (first["max_tokens"], first["temperature"], first["top_logprobs"]) == (1, 0.0, 20)
    assert (second["max_tokens"], second["temperature"], "logprobs" in second) == (30, 0.7, False)
    assert second["messages"][-1]["content"] == " [respond]"

    endpoint = Endpoint(goes_on, echoes)
    [reply] = ask(endpoint, file, [request()], threshold=0.2)
    assert reply.text == "I'm sorry, but I can't help with that."
    [other] = reply.gate.others  # 0.25 is near to 0.2
    assert (other.token, other.text, other.state) == ("respond", "Sure, it is easy.", None)
    assert len(endpoint.asked) == 3
    assert len(ask(Endpoint(goes_on), file, [request()], threshold=0.9, both="true")[0].gate.others) == 1


def test_tokens_of_all_calls_are_counted(file):
    endpoint = Endpoint()
    [reply] = ask(endpoint, file, [request()], threshold=0.2)
    # 6 words and two turns' marks; a token more behind each of the two tokens.
    assert reply.input_tokens == 14 + 15 + 15
    assert reply.output_tokens == 1 + 8 + 4


def test_a_second_sample_does_not_pay_the_first_call_again(file):
    endpoint = Endpoint()
    one, two = ask(endpoint, file, [request(), request(sample=1, seed=4)], threshold=0.5)
    assert one.gate == two.gate
    assert [body.get("logprobs") for body in endpoint.asked] == [True, None, None]
    assert (one.input_tokens, two.input_tokens) == (29, 15)


def test_another_attempt_pays_only_what_failed(file):
    endpoint = Endpoint(fails={" [respond]": [500]})
    failed, reply = ask(endpoint, file, [request()], times=2, threshold=0.5)
    assert failed.error.kind == "server"
    assert reply.gate.chosen == "respond"
    assert [body.get("logprobs") for body in endpoint.asked] == [True, None, None]
    assert reply.input_tokens == 14 + 15  # the first call is paid for with the answer

    endpoint = Endpoint(fails={" [refuse]": [503]})
    failed, reply = ask(endpoint, file, [request()], times=2, threshold=0.5, both="true")
    assert failed.error.kind == "server"
    assert reply.gate.others[0].token == "refuse"
    behind = [body["messages"][-1]["content"] for body in endpoint.asked if not body.get("logprobs")]
    assert behind == [" [respond]", " [refuse]", " [refuse]"]  # the first answer was there already
    assert reply.input_tokens == 14 + 15 + 15


def test_what_holds_is_told_of_the_answer_that_it_is_of(file):
    """A failure that another try would not mend, behind the other token alone, costs no answer."""
    endpoint = Endpoint(fails={" [refuse]": [400]})
    [reply] = ask(endpoint, file, [request()], threshold=0.5, both="true")
    [other] = reply.gate.others
    assert (reply.text, other.state, other.code) == ("Sure, it is easy.", "error", "bad_request")
    [reply] = ask(Endpoint(fails={" [respond]": [400]}), file, [request()], threshold=0.5, both="true")
    assert reply.error.kind == "bad_request"


@pytest.mark.parametrize("begun", [None, "First, take the"])
def test_a_filter_is_one_behind_every_token(file, begun):
    """Also where it let the answer begin: what it stopped is no answer to judge."""
    endpoint = Endpoint(filters={" [refuse]": begun})
    [reply] = ask(endpoint, file, [request()], threshold=0.5, both="true")
    [other] = reply.gate.others
    assert (reply.text, reply.refusal) == ("Sure, it is easy.", None)
    assert (other.state, other.code, other.text) == ("refused", "content_filter", begun or "")
    [reply] = ask(Endpoint(filters={" [respond]": begun}), file, [request()], threshold=0.5)
    assert (reply.refusal, reply.gate.chosen) == ("content_filter", "respond")


def test_samples_at_once_share_the_first_call(file):
    async def run(url):
        model = load_chat_model(f"openai/m?base_url={url}&refusal_tokens={file}&threshold=0.5")
        try:
            todo = [request(sample=n, seed=n) for n in range(4)]
            return await asyncio.gather(*(model.complete(one) for one in todo))
        finally:
            await model.close()

    endpoint = Endpoint(pause=0.02)
    with endpoint.serving() as url:
        replies = asyncio.run(run(url))
    assert len({reply.gate for reply in replies}) == 1
    assert sum(bool(body.get("logprobs")) for body in endpoint.asked) == 1
    assert sorted(reply.input_tokens for reply in replies) == [15, 15, 15, 14 + 15]


def test_a_token_that_is_not_listed_has_a_bound(file):
    long = {f"w{n}": 0.04 for n in range(19)} | {" [respond]": 0.2, " [refuse]": 0.001}
    [reply] = ask(Endpoint(p={"kill": long}), file, [request()], threshold=0.5)
    respond, refuse = (next(s for s in reply.gate.shares if s.name == n) for n in ("respond", "refuse"))
    assert (respond.p, respond.is_bound) == (pytest.approx(0.2), False)
    assert (refuse.p, refuse.is_bound) == (pytest.approx(0.04), True)  # the smallest that is listed
    assert reply.gate.mass == pytest.approx(0.2)
    # What is left of the mass may be less.
    nearly = {f"w{n}": 0.04 for n in range(19)} | {" [respond]": 0.23, " [refuse]": 0.001}
    [reply] = ask(Endpoint(p={"kill": nearly}), file, [request()], threshold=0.5)
    assert next(s for s in reply.gate.shares if s.is_bound).p == pytest.approx(0.01)


def test_categories(tmp_path):
    write_tokens(tmp_path / "tokens.json", SEVERAL)
    p = {"kill": {"Well": 0.5, " [privacy]": 0.3, " [violence]": 0.1, " [respond]": 0.05}}
    says = {" [respond]": "Sure.", " [privacy]": "That is private.", "": "Well, no."}
    for options, chosen, text in (
        ({"threshold": 0.2}, "privacy", "That is private."),
        ({"threshold__privacy": 0.4}, "respond", "Sure."),
        ({"threshold__violence": 0.05}, "", "Well, no."),  # privacy has none: its own word
    ):
        endpoint = Endpoint(p=p, says=says)
        [reply] = ask(endpoint, tmp_path / "tokens.json", [request()], margin=0, **options)
        assert (reply.gate.chosen, reply.text, reply.gate.score) == (chosen, text, pytest.approx(0.3))
        assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (Endpoint(lists=None), "gives no probabilities of tokens (logprobs) (its words: "),
        (Endpoint(lists=0), "gives no probabilities of tokens (logprobs): its answer holds none"),
        (Endpoint("anew"), "does not go on from an answer's beginning"),
        (Endpoint("anew"), "Unrecognized request argument supplied: add_generation_prompt"),
        (Endpoint(has_usage=False), "counts no tokens (usage)"),
    ],
)
def test_an_endpoint_that_cannot_is_told_before_a_prompt_is_asked(file, endpoint, said):
    with pytest.raises(InputError) as caught:
        ask(endpoint, file, [request()], threshold=0.5)
    assert said in str(caught.value)
    assert "hf/MODEL?refusal_tokens=FILE" in str(caught.value)
    assert endpoint.asked == []


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"error": {"message": "You are not allowed to request logprobs from this model"}}, "gives no"),
        (501, {"error": {"message": "logprobs is not implemented"}}, "gives no probabilities of tokens"),
        (
            200,
            {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]},
            "refused the request that tries it out (its words: content_filter)",
        ),
    ],
)
def test_a_no_to_the_first_probe_is_told_as_what_it_is(file, status, body, said):
    endpoint = Endpoint()
    normal = endpoint.answer
    endpoint.answer = lambda asked: (status, {}, body) if asked.get("logprobs") else normal(asked)
    with pytest.raises(InputError) as caught:
        ask(endpoint, file, [request()], threshold=0.5)
    assert said in str(caught.value)


def test_a_beginning_that_is_not_taken_is_told_without_a_count(file):
    endpoint = Endpoint()
    normal = endpoint.answer
    no = 400, {}, {"error": {"message": "Assistant response prefill is incompatible with enable_thinking."}}
    endpoint.answer = lambda asked: no if len(asked["messages"]) > 1 else normal(asked)
    with pytest.raises(InputError, match=r"as the beginning is not taken .its words: .*enable_thinking"):
        ask(endpoint, file, [request()], threshold=0.5)


def test_a_token_that_is_several_is_told_before_a_prompt_is_asked(tmp_path):
    write_tokens(tmp_path / "tokens.json", Tokens(" [respond]", {"refuse": " [refuse to answer]"}))
    endpoint = Endpoint()
    with pytest.raises(InputError, match="is not one token of this model: it is 3 at the beginning"):
        ask(endpoint, tmp_path / "tokens.json", [request()], threshold=0.5)
    assert endpoint.asked == []


def test_what_an_endpoint_does_not_take_is_asked_otherwise(file):
    endpoint = Endpoint(lists=5, coldest=0.01)
    [reply] = ask(endpoint, file, [request()], threshold=0.5)
    assert reply.gate.score == pytest.approx(0.25)
    first, _ = endpoint.asked
    # Some list probabilities as they draw: where 0 is not taken, 1 is the temperature of p.
    assert (first["top_logprobs"], first["temperature"]) == (5, 1.0)


def test_a_failure_that_says_nothing_of_it_is_one_of_the_call(file):
    endpoint = Endpoint()
    endpoint.answer = lambda body: (401, {}, {"error": {"message": "Incorrect API key provided"}})
    [reply] = ask(endpoint, file, [request()], threshold=0.5)
    assert reply.error.kind == "auth"


def test_a_batch_api_is_no_place_for_two_calls(file):
    model = load_chat_model(f"openai/m?base_url=http://127.0.0.1:9/v1&refusal_tokens={file}")
    assert model.batches() is None
    with pytest.raises(InputError, match=r"the margin of openai/m is -1\.0, not a number"):
        load_chat_model(f"openai/m?base_url=http://127.0.0.1:9/v1&refusal_tokens={file}&margin=-1")
    with pytest.raises(InputError, match="no file names them"):
        load_chat_model("openai/m?base_url=http://127.0.0.1:9/v1&threshold=0.5")
