"""Several sources are read at once, and their items come in rows."""

import threading
import time

import pytest

from overt.data.abreast import Ahead, Shared, abreast, lanes_of


def slow(items, seconds, started=None):
    for item in items:
        if started is not None:
            started.append((item, threading.current_thread().name))
        time.sleep(seconds)
        yield item


def test_rows_come_in_order_and_the_sources_do_not_wait_for_each_other():
    together = threading.Barrier(3, timeout=10)

    def meeting(items):
        together.wait()  # passes only if all three are at work at once
        yield from items

    rows = list(abreast([meeting(range(5)), meeting("abcde"), meeting([0.5] * 5)]))
    assert rows == [(n, letter, 0.5) for n, letter in enumerate("abcde")]


def test_one_source_needs_no_thread():
    here = threading.current_thread().name
    seen = []
    assert list(abreast([slow([1, 2], 0, seen)])) == [(1,), (2,)]
    assert {name for _, name in seen} == {here}
    assert list(abreast([])) == []


def test_sources_of_one_lane_follow_each_other_and_the_others_do_not_wait():
    seen = []

    def source(name, count):
        for number in range(count):
            seen.append(name)
            yield f"{name}{number}"

    rows = list(abreast([source("a", 6000), source("b", 6000), source("c", 6000)], ["gpu", "", "gpu"]))
    assert rows[-1] == ("a5999", "b5999", "c5999")
    gpu = [name for name in seen if name != "b"]
    assert gpu == ["a"] * 6000 + ["c"] * 6000


def test_an_error_comes_after_the_rows_before_it():
    def broken():
        yield 1
        raise LookupError("the second")

    rows = abreast([broken(), iter([1, 2])])
    assert next(rows) == (1, 1)
    with pytest.raises(LookupError, match="the second"):
        next(rows)


def test_a_source_with_fewer_items_is_told():
    with pytest.raises(ValueError, match="fewer items"):
        list(abreast([iter([1, 2]), iter([1])]))


def test_whoever_stops_early_leaves_no_thread_at_work():
    left = threading.Event()

    def endless():
        try:
            number = 0
            while True:
                number += 1
                yield number
        finally:
            left.set()

    rows = abreast([endless(), endless()])
    assert next(rows) == (1, 1)
    rows.close()
    assert left.wait(10)


def test_lanes():
    assert lanes_of(["", "gpu", "", "gpu", "cpu"]) == [[0], [1, 3], [2], [4]]


# -- ahead, and shared ------------------------------------------------------------------------------------


def test_where_one_fails_the_others_finish_what_they_began():
    halted, done = threading.Event(), []

    def answers():
        for n in range(1000):
            if halted.is_set() and n >= 3:
                return
            time.sleep(0.002)
            done.append(n)
            yield n

    def failing():
        yield 0
        raise KeyError("down")

    with pytest.raises(KeyError, match="down"):
        list(abreast([answers(), failing()], halt=halted.set))
    count = len(done)
    assert 0 < count < 1000
    time.sleep(0.05)
    assert len(done) == count, "nothing goes on after the error was raised"


def test_a_source_is_read_while_its_reader_does_something_else():
    read = []
    items = Ahead(slow([1, 2, 3], 0, read))
    items.settle()
    assert [item for item, _ in read] == [1, 2, 3]
    assert {name for _, name in read} == {"overt-ahead"}
    assert list(items) == [1, 2, 3]
    assert list(items) == []


def test_an_error_ahead_comes_after_what_was_read():
    def failing():
        yield 1
        raise KeyError("down")

    items = Ahead(failing())
    items.settle()
    assert next(items) == 1
    for _ in range(2):
        with pytest.raises(KeyError):
            next(items)


def test_several_threads_share_one_source():
    """Each gets all items in order, and the source is read once and by one of them at a time."""
    inside, most, read = [0], [0], []

    def source():
        for n in range(2000):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            read.append(n)
            inside[0] -= 1
            yield n

    shared = Shared(source(), 4)
    rows = list(abreast([shared.part(n) for n in range(4)]))
    assert rows == [(n,) * 4 for n in range(2000)]
    assert read == list(range(2000))
    assert most == [1]
    shared.check()


def test_the_end_of_a_shared_source_by_an_error_is_told_when_its_readers_have_ended():
    def failing():
        yield from (1, 2)
        raise KeyError("down")

    shared = Shared(failing(), 2)
    assert list(abreast([shared.part(0), shared.part(1)])) == [(1, 1), (2, 2)]
    with pytest.raises(KeyError):
        shared.check()
