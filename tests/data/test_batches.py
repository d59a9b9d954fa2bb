"""Batches that do not fit into memory, and items that fail alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra [local]")

from overt.data.local.batches import attempt, in_batches

FULL = RuntimeError("CUDA out of memory")


def runner(room, broken=(), seen=None):
    """Doubles its items; no more than `room` of them fit, and those in `broken` raise."""

    def run(items):
        if seen is not None:
            seen.append(list(items))
        if len(items) > room:
            raise FULL
        if set(items) & set(broken):
            raise ValueError(f"no {min(set(items) & set(broken))}")
        return [2 * item for item in items]

    return run


def worked(items, run, size):
    return in_batches(items, run, size, failed=lambda error: str(error), full="full")


def test_what_fits_is_worked_off_in_order_at_the_size_asked_for():
    seen = []
    assert worked(range(7), runner(3, seen=seen), 3) == ([0, 2, 4, 6, 8, 10, 12], 3)
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]


def test_out_of_memory_halves_the_batches_for_good():
    seen = []
    done, size = worked(range(8), runner(2, seen=seen), 8)
    assert (done, size) == ([0, 2, 4, 6, 8, 10, 12, 14], 2)
    assert [len(batch) for batch in seen] == [8, 4, 2, 2, 2, 2]


def test_an_item_that_does_not_fit_alone_is_told_and_the_others_go_on():
    def run(items):
        if 3 in items:
            raise FULL
        return list(items)

    assert worked([1, 2, 3, 4], run, 4) == ([1, 2, "full", 4], 1)


def test_a_broken_item_spares_the_others_and_halves_nothing():
    done, size = worked(range(6), runner(9, broken={1, 4}), 6)
    assert (done, size) == ([0, "no 1", 4, 6, "no 4", 10], 6)


def test_memory_that_runs_out_while_an_error_is_narrowed_down():
    def run(items):
        if len(items) == 4:
            raise ValueError("one of them")
        if len(items) == 2 and 2 in items:
            raise FULL
        return list(items)

    assert attempt([0, 1, 2, 3], run, str) is None
    assert worked([0, 1, 2, 3], run, 4) == ([0, 1, 2, 3], 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interruption_is_no_result(error):
    def run(items):
        raise error

    with pytest.raises(type(error)):
        worked([1, 2], run, 2)


@given(st.integers(0, 30), st.integers(1, 8), st.integers(1, 8), st.sets(st.integers(0, 30)))
def test_every_item_has_its_own_result(count, size, room, broken):
    done, left = worked(range(count), runner(room, broken), size)
    assert done == [f"no {n}" if n in broken else 2 * n for n in range(count)]
    assert 1 <= left <= size
