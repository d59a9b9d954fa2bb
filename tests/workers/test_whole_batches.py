"""Batches that are cut in one place and worked on in another, and several side by side."""

import asyncio
import threading

import pytest

from overt.data.local.batches import Batches, together
from overt.data.local.memory import Room


class Model:
    """A model that batches up to four items, and notes which shared a batch."""

    def __init__(self, size=4, **more):
        self.seen = []
        self.batches = Batches(self.work, room=Room("a model", size), name="test", **more)

    def work(self, items):
        self.seen.append(list(items))
        return [2 * item for item in items]

    async def ask(self, item):
        if item < 0:
            return None
        await asyncio.sleep(0.001 * (item % 3))
        return await self.batches(item)


def ask_groups(model, *groups):
    """The results of groups that arrive at the same time."""

    async def go():
        found = await asyncio.gather(
            *(together([lambda item=item: model.ask(item) for item in group]) for group in groups)
        )
        await model.batches.close()
        return found

    return asyncio.run(asyncio.wait_for(go(), 20))


def test_a_group_is_one_batch_whatever_else_waits():
    model = Model()
    assert ask_groups(model, [1, 2, 3], [4, 5], [6, 7, 8, 9]) == [[2, 4, 6], [8, 10], [12, 14, 16, 18]]
    assert sorted(map(sorted, model.seen)) == [[1, 2, 3], [4, 5], [6, 7, 8, 9]]


def test_a_group_may_be_larger_than_the_room_has_become():
    model = Model(size=2)
    ask_groups(model, [1, 2, 3])
    assert [len(batch) for batch in model.seen] == [3]  # the model itself cuts it by its room


def test_calls_that_end_without_a_job_do_not_hold_the_others_up():
    model = Model()
    assert ask_groups(model, [-1, 1, -1, 2], [-1, -1]) == [[None, 2, None, 4], [None, None]]
    assert sorted(map(sorted, model.seen)) == [[1, 2]]


def test_a_second_question_of_a_call_is_a_batch_like_any_other():
    model = Model()

    async def twice(item):
        return await model.batches(await model.batches(item))

    async def go():
        found = await together([lambda item=item: twice(item) for item in (1, 2)])
        await model.batches.close()
        return found

    assert asyncio.run(asyncio.wait_for(go(), 20)) == [4, 8]


def test_an_error_of_one_call_is_raised():
    async def broken():
        raise ValueError("as told")

    model = Model()
    with pytest.raises(ValueError, match="as told"):
        asyncio.run(together([broken, lambda: model.ask(1)]))


def test_lanes_work_side_by_side_on_batches_cut_in_order():
    both = threading.Barrier(2, timeout=20)
    seen = []

    def work(items):
        seen.append(list(items))
        both.wait()  # each waits until the other is there
        return items

    async def go():
        made = Batches(work, room=Room("a model", 3), name="test", is_steady=True, lanes=2)
        found = await asyncio.gather(*(made(item) for item in range(12)))
        await made.close()
        return found

    assert asyncio.run(asyncio.wait_for(go(), 30)) == list(range(12))
    assert sorted(seen) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
