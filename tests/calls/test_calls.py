"""The caller against real servers: what is retried, how long it waits, what stops it, what it remembers."""

import asyncio
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass

import pytest
from support.endpoint import endpoint, stats
from support.servers import server, status_server

from overt.calls import Caller, CallerOptions
from overt.calls.costs import PriceList
from overt.calls.flow import Pace
from overt.data.chat import CallError, ChatReply, ChatRequest, Message, Question
from overt.data.errors import BudgetReached, InputError, RunError
from overt.data.replies import AnswerForm, read_json
from overt.generation.chat.openai import OpenAIChat


@dataclass(frozen=True)
class Counted:
    n: str


FORM = AnswerForm(Counted)


def question(number, category="violence"):
    request = ChatRequest((Message("user", f"number {number}"),), max_tokens=50, schema=FORM.schema)
    return Question(request, lambda reply: read_json(reply, FORM).n, number, category)


def completion(text, tokens=(100, 10)):
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}


def echo(body):
    """The number that was asked about, from the first user turn."""
    text = next(m["content"] for m in body["messages"] if m["role"] == "user")
    return json.dumps({"n": text.removeprefix("number ")})


class Scripted:
    """A server's answer function: the script's entries first, one per request, then echoes."""

    def __init__(self, *script):
        self.script, self.bodies, self.times = list(script), [], []
        self.lock = threading.Lock()

    def __call__(self, body):
        with self.lock:
            self.bodies.append(body)
            self.times.append(time.monotonic())
            if self.script:
                return self.script.pop(0)
        return 200, {}, completion(echo(body))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


def call(url, folder, numbers, **options):
    """The answers to the numbers, and the caller's account."""
    settings = {"concurrency": 4, "timeout": 5.0, **options}
    with Caller(folder / "journal.sqlite", CallerOptions(**settings)) as caller:
        ask = caller.bind(OpenAIChat("gpt-4o-mini", base_url=url), "test")
        return list(ask(map(question, numbers))), caller.stats


def test_answers_come_in_the_order_of_the_questions(tmp_path):
    with endpoint("--latency-ms", "5", "--rate-500", "0.2", "--rate-drop", "0.1") as url:
        with Caller(tmp_path / "journal.sqlite", CallerOptions(concurrency=16)) as caller:
            ask = caller.bind(OpenAIChat("mock", base_url=url), "test")
            request = [ChatRequest((Message("user", f"{n}"),)) for n in range(200)]
            answers = list(ask(Question(r, lambda reply: reply.text, n) for n, r in enumerate(request)))
        assert [a.about for a in answers] == list(range(200))
        assert len({a.value for a in answers}) == 200  # each got its own
        assert caller.stats.snapshot()["errors"].keys() == {"server", "connection"}
        assert stats(url)["answered_again"] == 0


@pytest.mark.parametrize(
    "trouble",
    [
        (500, {}, {"error": {"message": "oops"}}),
        (503, {}, {"error": {"message": "overloaded"}}),
        (408, {}, {}),
        (429, {"Retry-After": "0.05"}, {"error": {"message": "slow down"}}),
        (200, {}, {"choices": []}),
    ],
)
def test_what_may_pass_is_tried_again(tmp_path, trouble):
    script = Scripted(trouble)
    with server(script) as url:
        answers, account = call(url, tmp_path, [1])
    assert [a.value for a in answers] == ["1"]
    assert len(script.bodies) == 2
    assert script.bodies[0] == script.bodies[1]
    assert account.snapshot()["retries"] == 1


def test_retry_after_is_honoured(tmp_path):
    script = Scripted((429, {"Retry-After": "1"}, {"error": {"message": "slow down"}}))
    with server(script) as url:
        call(url, tmp_path, [1])
    assert script.times[1] - script.times[0] >= 1


def test_retries_end_and_the_failure_is_not_remembered(tmp_path):
    with status_server(500, {"error": {"message": "for ever"}}) as url:
        (answer,), _ = call(url, tmp_path, [1], max_retries=1)
    assert (answer.value, answer.failure_kind) == (None, "server")
    script = Scripted()
    with server(script) as url:
        (answer,), _ = call(url, tmp_path, [1])
    assert answer.value == "1"  # the next run has better luck, since nothing was journalled
    assert len(script.bodies) == 1


def test_a_bad_request_is_final_and_ends_nothing(tmp_path):
    def answer(body):
        text = echo(body)
        if "7" in text:
            return 400, {}, {"error": {"message": "this prompt is odd"}}
        return 200, {}, completion(text)

    with server(answer) as url:
        answers, account = call(url, tmp_path, range(10))
    assert [a.value for a in answers] == [str(n) if n != 7 else None for n in range(10)]
    assert "this prompt is odd" in answers[7].failure
    assert account.snapshot()["retries"] == 0


def test_a_model_that_takes_no_request_ends_the_run(tmp_path):
    script = Counter()

    def answer(body):
        script["n"] += 1
        return 404, {}, {"error": {"message": "the model gpt-5o does not exist"}}

    with server(answer) as url, pytest.raises(RunError, match=r"gpt-5o does not exist"):
        call(url, tmp_path, range(1000))
    assert script["n"] < 50


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"message": "bad key"}}, "key was not accepted"),
        (402, {"error": {"message": "pay up"}}, "no credit"),
        (429, {"error": {"message": "gone", "code": "insufficient_quota"}}, "no credit"),
    ],
)
def test_no_key_or_no_credit_ends_the_run(tmp_path, status, body, said):
    with status_server(status, body) as url, pytest.raises(RunError, match=said):
        call(url, tmp_path, range(100))


# -- answers that cannot be read --------------------------------------------------------------------------


def test_a_malformed_answer_is_asked_for_again_with_the_reason(tmp_path):
    script = Scripted((200, {}, completion("certainly!")))
    with server(script) as url:
        (answer,), _ = call(url, tmp_path, [1])
    assert answer.value == "1"
    turns = [(m["role"], m["content"]) for m in script.bodies[1]["messages"][1:]]
    assert turns[0] == ("assistant", "certainly!")
    assert "holds no JSON" in turns[1][1]


def test_malformed_for_ever_is_a_failure_and_is_paid_for_once(tmp_path):
    with status_server(200, completion("no JSON here")) as url:
        (answer,), account = call(url, tmp_path, [1])
        assert (answer.value, answer.failure_kind) == (None, "malformed")
        assert account.sent == 3
        _, account = call(url, tmp_path, [1])
        assert account.sent == 0


def test_a_refusal_is_an_answer(tmp_path):
    message = {"content": None, "refusal": "I will not"}
    with status_server(200, {"choices": [{"message": message, "finish_reason": "stop"}]}) as url:
        (answer,), account = call(url, tmp_path, [1])
    assert (answer.failure_kind, answer.reply.refusal) == ("refused", "I will not")
    assert account.sent == 1


# -- the journal ------------------------------------------------------------------------------------------


def test_what_was_answered_is_never_sent_again(tmp_path):
    first, second = Scripted(), Scripted()
    with server(first) as url:
        call(url, tmp_path, range(20))
    with server(second) as url:
        answers, account = call(url, tmp_path, range(25))
    assert [a.value for a in answers] == [str(n) for n in range(25)]
    assert len(second.bodies) == 5
    assert account.snapshot()["cached"] == 20


def test_a_consumer_that_stops_early_keeps_what_came_in(tmp_path):
    script = Scripted()
    with server(script) as url:
        with Caller(tmp_path / "journal.sqlite", CallerOptions(concurrency=2)) as caller:
            ask = caller.bind(OpenAIChat("m", base_url=url), "test")
            for answer in ask(map(question, range(200))):
                if answer.about == 5:
                    break
        sent = len(script.bodies)
        assert sent < 200
        answers, _ = call(url, tmp_path, [])  # opens the journal as it is
        assert answers == []
    from overt.data.run.journal import Journal

    journal = Journal(tmp_path / "journal.sqlite")
    assert sent - 2 <= len(journal) <= sent
    journal.close()


# -- pace and caps ----------------------------------------------------------------------------------------


def test_concurrency_is_used_and_never_passed(tmp_path):
    with endpoint("--latency-ms", "200") as url:  # a slow machine sends seven in less than that
        with Caller(tmp_path / "journal.sqlite", CallerOptions(concurrency=7)) as caller:
            ask = caller.bind(OpenAIChat("mock", base_url=url), "test")
            list(ask(map(question, range(35))))
        assert stats(url)["most_in_flight"] == 7


def test_rpm(tmp_path):
    script = Scripted()
    with server(script) as url:
        call(url, tmp_path, range(7), rpm=600)
    # The first one opens the connection and arrives late; on a busy machine so does the second, a little.
    assert script.times[-1] - script.times[1] >= 5 * 0.1 * 0.8


def test_max_requests_counts_retries_too(tmp_path):
    script = Scripted(*[(500, {}, {})] * 3)
    with server(script) as url, pytest.raises(BudgetReached, match="--max-requests 10"):
        call(url, tmp_path, range(100), max_requests=10)
    assert len(script.bodies) == 10
    with server(Scripted()) as url:  # resumed with room enough
        answers, account = call(url, tmp_path, range(100), max_requests=100)
    assert len(answers) == 100
    assert account.snapshot()["cached"] == 7


def test_max_cost_counts_what_is_in_flight(tmp_path):
    """At 100 + 10 tokens a call and the prices below a call costs 0.01; the cap is 30 calls."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("gpt-4o-mini: {input: 90, output: 100}\n")
    script = Scripted()
    with server(script) as url, pytest.raises(BudgetReached, match=r"US\$0.3 is reached"):
        call(url, tmp_path, range(500), max_cost=0.3, prices=prices)
    # Before the first answer nobody knows what a call costs: the first handful may be over.
    assert 26 <= len(script.bodies) <= 34


def test_a_cap_without_a_price_is_refused_before_anything_is_sent(tmp_path):
    model = OpenAIChat("nobodys-model", base_url="http://127.0.0.1:9/v1")
    with (
        Caller(tmp_path / "journal.sqlite", CallerOptions(max_cost=1.0)) as caller,
        pytest.raises(InputError, match="no price is known for openai/nobodys-model"),
    ):
        caller.bind(model, "test")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("openai/gpt-4o-mini", True),
        ("openai/gpt-4o-mini-2024-07-18", True),
        ("openai/gpt-4o-audio-nobody", False),
        ("hf/any/model", True),
        ("builtin/grammar", True),
    ],
)
def test_prices_of_families(name, known):
    assert (PriceList.load().of(name) is not None) is known


@pytest.mark.parametrize("bad", ["m: 3", "m: {input: -1, output: 2}", "m: {in: 1}", "[m]", "m: {"])
def test_a_price_file_with_a_fault_is_named_with_its_line(tmp_path, bad):
    path = tmp_path / "prices.yaml"
    path.write_text(bad)
    with pytest.raises(InputError) as caught:
        PriceList.load(path)
    assert str(path) in str(caught.value.where)


def paced(events, ceiling=64):
    """The limit after a sequence of answers, True for a 429."""

    async def run():
        pace = Pace(ceiling)
        for limited in events:
            pace.saw(limited, 0.01 if limited else None)
        return pace.limit

    return asyncio.run(run())


def test_a_storm_of_429_brings_the_limit_down_and_calm_brings_it_back():
    storm = [True, False] * 400
    assert paced(storm) < 16
    assert paced(storm + [False] * 4000) == 64


def test_a_few_429_do_not():
    assert paced(([True] + [False] * 19) * 50) == 64


def test_slots_are_handed_over_in_the_order_of_those_who_wait():
    """Many are given back in one turn of the loop; each wakes one that waits, and wakes it once."""

    async def run():
        pace, entered, gone = Pace(10), [], []

        async def one(number):
            await pace.enter()
            entered.append(number)
            await asyncio.sleep(0.002)  # all ten of a round come back in one turn
            assert pace.active <= 10
            gone.append(number)
            pace.leave()

        futures = 0
        loop = asyncio.get_running_loop()
        make = loop.create_future

        def counted():
            nonlocal futures
            futures += 1
            return make()

        loop.create_future = counted
        await asyncio.gather(*(one(number) for number in range(100)))
        return pace.active, entered, futures

    active, entered, futures = asyncio.run(run())
    assert (active, entered) == (0, list(range(100)))
    assert futures <= 90 + 100 + 1  # one for each that waits, one for each sleep, and gather's own


def test_a_slot_of_one_that_was_cancelled_goes_to_the_next():
    async def run():
        pace = Pace(1)
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # before its turn
        pace.leave()  # hands the slot to the second ...
        waiting[1].cancel()  # ... which is cancelled before it can take it
        await asyncio.wait_for(waiting[2], 5)
        assert pace.active == 1
        pace.leave()
        await asyncio.wait_for(pace.enter(), 5)
        return pace.active

    assert asyncio.run(run()) == 1


def test_hanging_requests_time_out_and_are_sent_again(tmp_path):
    class Sleepy:
        name = "test/sleepy"

        def __init__(self):
            self.calls = 0

        async def complete(self, request):
            self.calls += 1
            if self.calls == 1:
                await asyncio.sleep(60)
            return ChatReply(text='{"n": "woke"}')

        async def close(self):
            pass

    model = Sleepy()
    started = time.monotonic()
    with Caller(tmp_path / "journal.sqlite", CallerOptions(timeout=0.2)) as caller:
        (answer,) = caller.bind(model, "test")([question(1)])
    assert answer.value == "woke"
    assert model.calls == 2
    assert caller.stats.snapshot()["errors"] == {"timeout": 1}
    assert time.monotonic() - started < 5


def test_an_error_is_booked_and_a_reply_with_both_is_an_error(tmp_path):
    class Odd:
        name = "test/odd"

        async def complete(self, request):
            return ChatReply(text='{"n": "1"}', error=CallError("too_long", "too many tokens"))

        async def close(self):
            pass

    with Caller(tmp_path / "journal.sqlite", CallerOptions()) as caller:
        (answer,) = caller.bind(Odd(), "test")([question(1)])
    assert (answer.value, answer.failure_kind) == (None, "too_long")
