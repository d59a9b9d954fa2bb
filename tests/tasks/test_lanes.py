"""Targets at work: those behind services at once, those of one device one after the other."""

import threading

import pytest

from overt.data.lanes import lane_of, lane_of_name
from overt.tasks.lanes import Job, finished


class Log:
    def __init__(self):
        self.rows = []
        self.busy = 0
        self.most = {}


def job(name, log, *, shares="", lane="", late=False, work=None):
    def run(opened):
        log.busy += 1
        log.most[shares] = max(log.most.get(shares, 0), log.busy)
        log.rows.append(f"work {name}")
        result = work(opened) if work else name
        log.busy -= 1
        return result

    def open_():
        log.rows.append(f"open {name}")
        return name

    return Job(lane, open_, lambda opened: shares, run, lambda opened: log.rows.append(f"close {name}"), late)


def test_services_are_asked_at_once():
    together = threading.Barrier(3, timeout=10)
    log = Log()
    jobs = [job(n, log, work=lambda opened: (together.wait(), opened)[1]) for n in "abc"]
    assert sorted(finished(jobs)) == [(0, "a"), (1, "b"), (2, "c")]


def test_models_of_one_device_follow_each_other_and_are_closed_in_between():
    log = Log()
    jobs = [job(n, log, shares="cuda:0", late=True) for n in "abc"]
    assert sorted(finished(jobs)) == [(0, "a"), (1, "b"), (2, "c")]
    assert log.rows == [f"{what} {n}" for n in "abc" for what in ("open", "work", "close")]


def test_a_service_does_not_wait_for_a_device():
    asked = threading.Event()
    log = Log()
    local = job("local", log, shares="cuda:0", late=True, work=lambda opened: asked.wait(10))
    remote = job("remote", log, work=lambda opened: asked.set())
    assert dict(finished([local, remote])) == {0: True, 1: None}
    assert log.rows[0] == "open remote"


def test_two_lanes_that_share_a_device_take_turns():
    log = Log()
    jobs = [job(n, log, shares="cuda:0", lane=lane) for n, lane in (("a", "one"), ("b", "two"))]
    assert sorted(finished(jobs)) == [(0, "a"), (1, "b")]
    assert log.most["cuda:0"] == 1


@pytest.mark.parametrize("where", ["open", "work"])
def test_the_first_error_ends_it(where):
    def fail(*_):
        raise LookupError(where)

    log = Log()
    good = job("good", log)
    bad = Job("", fail if where == "open" else lambda: "x", lambda o: "", fail, lambda o: None)
    with pytest.raises(LookupError, match=where):
        list(finished([bad, good]))


def test_one_job_runs_here():
    seen = []
    log = Log()
    jobs = [job("a", log, work=lambda opened: seen.append(threading.current_thread().name))]
    assert dict(finished(jobs)) == {0: None}
    assert seen == [threading.current_thread().name]


class Thing:
    def __init__(self, **fields):
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    ("fields", "lane"),
    [
        ({"api_key_env": "KEY", "max_concurrency": 4}, ""),
        ({"address": "https://x", "max_concurrency": 4}, ""),
        ({"max_concurrency": 256}, "this machine"),
        ({"device": "cuda"}, "cuda:0"),
        ({"device": "cuda:1", "max_concurrency": 2}, "cuda:1"),
        ({"device": "cpu"}, "this machine"),
        ({}, ""),
    ],
)
def test_the_lane_of_a_model(fields, lane):
    assert lane_of(Thing(**fields)) == lane
    assert lane_of(Thing(behind=Thing(**fields))) == lane


def test_the_lane_that_a_name_asks_for():
    assert lane_of_name("diffusers/some/model?steps=4&device=cuda%3A1") == "cuda:1"
    assert lane_of_name("diffusers/some/model?device=cuda") == "cuda:0"
    assert lane_of_name("openai/gpt-image-1") == ""
