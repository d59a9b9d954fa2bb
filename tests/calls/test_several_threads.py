"""One caller asked by several threads: each has its own iterator, and all share journal, pace and caps."""

import asyncio
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from overt.calls import Caller, CallerOptions
from overt.calls.flow import Ended, Flow
from overt.data.chat import CallError, ChatReply, ChatRequest, Message, Question, RawResponse
from overt.data.errors import BudgetReached, RunError
from overt.data.run.journal import Journal

REJECTED = ChatReply(error=CallError("bad_request", "this prompt is odd", 400))
BAD_KEY = ChatReply(error=CallError("auth", "HTTP 401: Incorrect API key provided", 401))
PATIENCE_S = 20


class Model:
    """A chat model of this process. `replies` are its first ones; afterwards it repeats what it was asked."""

    def __init__(self, name, *replies, gate=None, latency_s=0.001):
        self.name, self.gate, self.latency_s = f"test/{name}", gate, latency_s
        self.replies = list(replies)
        self.asked, self.closed = 0, 0

    async def complete(self, request):
        self.asked += 1
        reply = self.replies.pop(0) if self.replies else None
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(self.latency_s)
        return reply or ChatReply(text=request.messages[0].content, input_tokens=100, output_tokens=10)

    async def close(self):
        self.closed += 1


def questions(count, name=""):
    for number in range(count):
        request = ChatRequest((Message("user", f"{name} {number}"),))
        yield Question(request, lambda reply: reply.text, number)


def caller_in(folder, **options):
    return Caller(folder / "journal.sqlite", CallerOptions(**{"concurrency": 4, "max_retries": 0, **options}))


def together(*works):
    """Runs them in a thread each; returns what came back or was raised, in their order."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        return [future.exception(PATIENCE_S) or future.result() for future in futures]


def asking(caller, model, count=100):
    return lambda: [answer.value for answer in caller.bind(model, model.name)(questions(count, model.name))]


def texts(model, count=100):
    return [f"{model.name} {number}" for number in range(count)]


def test_three_threads_get_their_own_answers_in_order_and_one_account(tmp_path):
    models = [Model("a"), Model("b"), Model("c")]
    told = []
    with Caller(tmp_path / "journal.sqlite", CallerOptions(concurrency=4), told.append) as caller:
        found = together(*(asking(caller, model) for model in models))
        account = caller.stats.snapshot()
    assert found == [texts(model) for model in models]
    assert account["requests"] == caller.stats.sent == 300
    assert {name: row["requests"] for name, row in account["purposes"].items()} == dict.fromkeys(
        ("test/a", "test/b", "test/c"), 100
    )
    journal = Journal(tmp_path / "journal.sqlite")
    assert len(journal) == 300
    journal.close()
    assert told  # by whichever thread came first


def test_one_model_asked_by_three_threads_keeps_its_pace(tmp_path):
    class Counting(Model):
        now = most = 0

        async def complete(self, request):
            self.now += 1
            self.most = max(self.most, self.now)
            reply = await super().complete(request)
            self.now -= 1
            return reply

    model = Counting("judge")
    with caller_in(tmp_path) as caller:
        ask = caller.bind(model, "judge")
        found = together(
            *(lambda part=part: [a.value for a in ask(questions(40, part))] for part in ("x", "y", "z"))
        )
    assert found == [[f"{part} {n}" for n in range(40)] for part in ("x", "y", "z")]
    assert (model.most, model.asked) == (4, 120)


def test_a_key_that_does_not_work_ends_all_and_keeps_what_came(tmp_path):
    gate = threading.Event()
    good, bad, slow = Model("good"), Model("bad", BAD_KEY), Model("slow", gate=gate)
    with caller_in(tmp_path) as caller:
        assert asking(caller, good, 10)() == texts(good, 10)
        threading.Timer(0.2, gate.set).start()
        found = together(asking(caller, good, 100_000), asking(caller, bad), asking(caller, slow, 100_000))
    assert all(
        isinstance(error, RunError) and "test/bad: the key was not accepted" in str(error) for error in found
    )
    assert bad.asked <= 4
    assert slow.asked <= 8  # four were under way; they are answered, and nothing is sent after them
    journal = Journal(tmp_path / "journal.sqlite")
    assert len(journal) == good.asked + slow.asked + bad.asked - 1
    journal.close()


def test_first_failures_of_a_model_do_not_end_the_run_when_another_is_through(tmp_path):
    """The end of one model's requests says nothing of another, of which nothing has come yet."""
    gate = threading.Event()
    late = Model("late", REJECTED, REJECTED, gate=gate)
    with caller_in(tmp_path, concurrency=1) as caller:

        def first():
            while late.asked < 1:
                time.sleep(0.001)
            gate.set()
            while late.asked < 3:  # two rejections of a model that never answered
                time.sleep(0.001)
            return asking(caller, Model("quick"), 5)()

        late.latency_s = 0.1
        found = together(first, asking(caller, late, 6))
    assert found[0] == texts(Model("quick"), 5)
    assert found[1] == [None, None, *texts(late, 6)[2:]]


def test_a_model_of_which_nothing_came_still_ends_the_run(tmp_path):
    odd = Model("odd", *[REJECTED] * 3)
    with caller_in(tmp_path) as caller, pytest.raises(RunError, match="test/odd rejects every request"):
        asking(caller, odd, 3)()


def test_two_threads_that_ask_one_model_are_told_once_by_the_last(tmp_path):
    """What one thread asked in vain may be answered to the other, and then the model does not reject all."""
    model = Model("shared", REJECTED, latency_s=0.02)
    with caller_in(tmp_path, concurrency=1) as caller:
        ask = caller.bind(model, "shared")
        other = iter(ask(questions(3, "y")))
        assert next(other).value is None  # the rejection; the iterator stays open
        assert [a.value for a in ask(questions(1, "x"))] == ["x 0"]
        assert [a.value for a in other] == ["y 1", "y 2"]


def test_a_thread_that_stops_early_leaves_the_others_alone(tmp_path):
    early, models = Model("early"), [Model("b"), Model("c")]
    with caller_in(tmp_path) as caller:

        def stops():
            for answer in caller.bind(early, "early")(questions(100_000)):
                if answer.about == 5:
                    return "enough"

        def breaks():
            raise ValueError(next(caller.bind(early, "early")(questions(100_000, "z"))).value)

        found = together(stops, breaks, *(asking(caller, model) for model in models))
        sent = early.asked
        assert asking(caller, Model("d"), 20)() == texts(Model("d"), 20)
        assert early.asked == sent  # nothing is sent for those who left
    assert found[0] == "enough"
    assert isinstance(found[1], ValueError)
    assert found[2:] == [texts(model) for model in models]
    assert sent < 10_000


def test_what_was_not_begun_when_a_consumer_left_is_never_sent():
    loop = asyncio.new_event_loop()
    done = []

    async def work(item):
        done.append(item)
        return item

    flow = Flow(loop, work, 1024)
    raised = []

    def consume():
        try:
            list(flow.run(range(100)))
        except Ended as error:
            raised.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    while not flow._submitted:
        time.sleep(0.001)
    flow.cancel()  # before the loop has turned once
    thread.join(PATIENCE_S)
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    loop.close()
    assert (done, len(raised)) == ([], 1)


def test_a_closed_caller_ends_the_threads_that_wait(tmp_path):
    never = threading.Event()
    model = Model("silent", gate=never)
    with ThreadPoolExecutor(1) as pool:
        with caller_in(tmp_path) as caller:
            waiting = pool.submit(asking(caller, model))
            while not model.asked:
                time.sleep(0.001)
        assert "the calls were ended" in str(waiting.exception(PATIENCE_S))
    with pytest.raises(RunError, match="the calls were ended"):
        asking(caller, model)()
    assert model.closed == 1


# -- releasing ---------------------------------------------------------------------------------------------


def test_a_released_model_is_closed_and_its_memory_goes_while_others_go_on(tmp_path):
    gate = threading.Event()
    other = Model("other", gate=gate)
    with caller_in(tmp_path) as caller, ThreadPoolExecutor(1) as pool:
        running = pool.submit(asking(caller, other))
        model = Model("large", REJECTED)
        assert asking(caller, model)() == [None, *texts(model)[1:]]
        assert caller.release(model)
        assert model.closed == 1
        watched = weakref.ref(model)
        del model
        gc.collect()
        assert watched() is None
        assert not running.done()
        gate.set()
        assert running.result(PATIENCE_S) == texts(other)
        assert (caller.unanswered, caller.rejected) == (0, 1)  # what it failed at still counts
    assert other.closed == 1


def test_a_model_that_is_asked_is_not_released(tmp_path):
    model = Model("busy")
    with caller_in(tmp_path) as caller:
        ask = caller.bind(model, "test")
        answers = ask(questions(50))
        next(answers)
        assert not caller.release(model)
        assert model.closed == 0
        assert len(list(answers)) == 49
        assert caller.release(model)
        assert caller.release(model)  # there is nothing left to do
        assert model.closed == 1
        assert [a.value for a in ask(questions(2, "again"))] == ["again 0", "again 1"]
    assert model.closed == 2


def test_the_cap_on_the_cost_counts_what_is_in_flight_at_every_model(tmp_path):
    """A call costs 0.01, and the cap is 60 calls. Each of three models has eight in flight."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("".join(f"{name}: {{input: 90, output: 100}}\n" for name in "abc"))
    models = [Model(name, latency_s=0.02) for name in "abc"]
    with caller_in(tmp_path, concurrency=8, max_cost=0.6, prices=prices) as caller:
        found = together(*(asking(caller, model) for model in models))
        spent = caller.stats.spent
    assert all(isinstance(error, BudgetReached) for error in found)
    # Eight calls of one model in flight would pass the cap by 0.14 with the other two.
    assert 0.5 < spent <= 0.6 + 0.01


def test_items_that_come_slowly_do_not_wait_for_each_other():
    """A draft is audited while the next is written, though a batch has room for more."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    first_is_done = threading.Event()

    async def work(item):
        first_is_done.set()
        return item

    def slow():
        yield 1
        time.sleep(0.05)  # more than the patience of a batch
        yield 2
        assert first_is_done.wait(10)
        yield 3

    try:
        assert list(Flow(loop, work, 1024).run(slow())) == [1, 2, 3]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def test_the_same_question_of_two_threads_is_asked_once(tmp_path):
    """Else both are paid for, and the journal keeps the reply that one of them never saw."""
    model = Model("a", latency_s=0.05)
    (tmp_path / "prices.yaml").write_text("test/a: {input: 1.0, output: 1.0}\n")
    priced = {"prices": tmp_path / "prices.yaml"}
    with caller_in(tmp_path, concurrency=64, **priced) as caller:
        ask = caller.bind(model, "same")
        found = together(*[lambda: [a.value for a in ask(questions(10, "same"))]] * 3)
    assert found == [[f"same {number}" for number in range(10)]] * 3
    assert model.asked == 10
    assert caller.stats.sent == 10
    assert caller.stats.snapshot()["cost"] == pytest.approx(caller.stats.spent)  # not once more by each
    spent = caller.stats.spent
    assert spent > 0
    with caller_in(tmp_path, **priced) as caller:
        for _ in range(2):
            list(caller.bind(model, "same")(questions(10, "same")))
    assert model.asked == 10
    assert caller.stats.snapshot()["cost"] == pytest.approx(spent)


def test_the_same_question_shares_a_failure(tmp_path):
    raw = RawResponse(500, body="away")  # it is kept, and asked again by the next run
    down = ChatReply(error=CallError("server", "away", 500), raw=raw)
    model = Model("a", *[down] * 2, latency_s=0.05)
    with caller_in(tmp_path, concurrency=64) as caller:
        ask = caller.bind(model, "same")
        found = together(*[lambda: [a.failure for a in ask(questions(1, "same"))]] * 3)
        assert model.asked == 1
        assert all("away" in str(failure) for (failure,) in found)
        assert caller.unanswered == 3


def test_the_same_question_is_asked_anew_where_the_thread_that_asked_first_left(tmp_path):
    gate = threading.Event()
    model = Model("a", gate=gate)
    with caller_in(tmp_path) as caller, ThreadPoolExecutor(2) as pool:
        ask = caller.bind(model, "same")
        first = pool.submit(lambda: list(ask(questions(1, "same"))))
        until = time.monotonic() + PATIENCE_S
        while not model.asked and time.monotonic() < until:
            time.sleep(0.01)
        (leave,) = caller._endings
        second = pool.submit(lambda: [a.value for a in ask(questions(1, "same"))])
        time.sleep(0.1)
        assert model.asked == 1
        leave()
        gate.set()
        assert second.result(PATIENCE_S) == ["same 0"]
        assert isinstance(first.exception(PATIENCE_S), RunError)
    assert model.asked == 2
