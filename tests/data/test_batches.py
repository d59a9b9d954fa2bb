"""Batches that do not fit into memory, and items that fail alone."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs the extra [local]")

from overt.data.local import batches
from overt.data.local.batches import Batches, attempt, in_batches
from overt.data.local.memory import Room, out_of_memory


@pytest.fixture(autouse=True, scope="module")
def _light():
    """Collecting garbage each time a batch does not fit takes long beside a loaded torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "free_memory", lambda: None)
        yield


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
    room = Room("a model", size)
    return in_batches(items, run, room, failed=str, full=lambda _: "full"), room.size


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

    # The batch of two fitted, so it is the item that was too large.
    assert worked([1, 2, 3, 4], run, 4) == ([1, 2, "full", 4], 2)


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

    assert attempt([0, 1, 2, 3], run, str) == ([0, 1], FULL)
    assert worked([0, 1, 2, 3], run, 4) == ([0, 1, 2, 3], 1)


def test_what_was_done_before_the_memory_ran_out_is_not_done_again():
    seen = []

    def run(items):
        seen.append(list(items))
        if len(items) == 4:
            raise ValueError("one of them")
        if items == [2, 3]:
            raise FULL
        return list(items)

    assert worked([0, 1, 2, 3], run, 4) == ([0, 1, 2, 3], 1)
    assert seen == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]


def test_the_smaller_size_is_told_once_and_kept(caplog):
    room = Room("diffusers/x", 8)
    for _ in range(2):
        in_batches(range(8), runner(3), room, failed=str, full=str)
    assert room.size == 2
    assert [r.message for r in caplog.records] == [
        "diffusers/x: out of memory, at most 2 at once from now on"
    ]


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


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "HIP out of memory. Tried to allocate 2.00 MiB. GPU 7 has a total capacity of 287.98 GiB",
        "MPS backend out of memory (MPS allocated: 9 GB)",
        "XPU out of memory. Tried to allocate 1 GiB",
        'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":830, please',
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried",
    ],
)
def test_memory_that_runs_out_is_known_in_every_wording(message):
    assert out_of_memory(RuntimeError(message))
    wrapped = ValueError("the pipeline failed")
    wrapped.__cause__ = RuntimeError(message)
    assert out_of_memory(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),  # no device here is nearly full
        ValueError("the story of a computer out of memory cannot be drawn"),
        OSError("No space left on device"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not out_of_memory(error)


def test_errors_of_the_machine_itself_are_known():
    import numpy as np

    assert out_of_memory(MemoryError())
    assert out_of_memory(OSError(12, "Cannot allocate memory"))
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 45)
    assert out_of_memory(caught.value)


def test_steady_batches_are_cut_in_the_order_of_their_items(monkeypatch):
    """A caller who keeps two batches in flight, and takes longer with some results than others."""
    monkeypatch.setattr(batches, "_FILL_S", 0.0)
    seen, free = [], threading.Event()

    def work(items):
        seen.append(list(items))
        free.wait(0.1)  # an event that nothing sets: a batch takes a while
        return items

    async def go():
        steady = Batches(work, room=Room("a model", 4), name="test", is_steady=True)
        steady._wait_s = 1.0  # for the first batch, whatever else the machine does
        slots = asyncio.Semaphore(8)

        async def one(item):
            async with slots:
                await steady(item)
                await asyncio.sleep(0.002 * (item % 5))

        await asyncio.gather(*(one(item) for item in range(22)))
        await steady.close()

    asyncio.run(go())
    assert seen == [list(range(n, min(n + 4, 22))) for n in range(0, 22, 4)]


@pytest.mark.parametrize("lanes", [1, 2])
def test_it_works_again_after_it_was_closed(lanes):
    async def ask():
        made = Batches(runner(9), room=Room("a model", 3), name="again", lanes=lanes)
        for number in range(3):
            assert await asyncio.wait_for(made(number), 30) == 2 * number
            await made.close()

    asyncio.run(ask())
