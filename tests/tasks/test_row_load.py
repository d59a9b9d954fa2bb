"""What is said of a row's requests: traces that are too sparse, copies, and how long a plan takes."""

import dataclasses

import numpy as np
import pytest

from overt.data.errors import InputError
from overt.data.inference_trace import Trace
from overt.data.progress import Silent
from overt.planning.load import Load, requests
from overt.planning.server_model import ServerModel
from overt.planning.setting import Setting
from overt.tasks.plan_row import RowConfig, planned_row
from overt.tasks.plan_row_load import load_said, long_said, refuse_sparse_traces

QUICK = {"row": 4, "days": 0.01, "ranges": False, "map": False, "draws": 0, "processes": 1}


def trace_of(every_s, count=100):
    """A request of 512 tokens, answered by 50, each so many seconds."""
    at = np.arange(count) * float(every_s)
    return Trace("own.csv", at, np.full(count, 512), np.full(count, 50))


def with_traces(high, low, **load):
    return Setting(row=4, load=Load(days=0.01, traces=(high, low), **load))


def test_a_trace_without_requests_to_speak_of_is_refused(tmp_path):
    """Each of its two requests would come millions of times within ten seconds."""
    file = tmp_path / "sparse.csv"
    file.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n0,30,50\n90000000,300,500\n", "utf-8")
    with pytest.raises(InputError) as told:
        planned_row(RowConfig.made({**QUICK, "trace": (f"low={file}",)}), Silent())
    said = told.value.message()
    assert "--trace sparse.csv" in said
    assert "2 requests come within" in said
    refuse_sparse_traces(with_traces(trace_of(60), trace_of(60)))


def test_how_often_a_request_comes_is_said_and_true():
    setting = with_traces(trace_of(10), None, daily_swing=0.0)
    # A request takes 0.1739 + 49 * 0.0488 s: 0.623 a second for two servers at 80%, where the trace has 0.1.
    assert load_said(setting) == (
        "high priority: own.csv (each request up to 6 times within ten seconds); low priority: the generator"
    )
    come = sum(1 for one in requests(setting.load, ServerModel(), (2, 0)))
    assert come / 86.4 == pytest.approx(6.2, rel=0.1)
    often = trace_of(1, 2000)
    assert load_said(with_traces(often, often)) == "own.csv"
    assert load_said(with_traces(None, None)).startswith("a seeded generator")


def test_a_plan_that_takes_hours_says_so():
    short = Setting(row=40, load=Load(days=0.1))
    assert long_said(short, short, ends=0, columns=0, draws=0, processes=1) == ""
    month = dataclasses.replace(short, load=Load(days=28.0))
    hours = []
    for ends, processes in ((20, 2), (0, 2), (20, 200)):
        said = long_said(month, short, ends=ends, columns=4, draws=4, processes=processes)
        assert "requests in each simulated row" in said
        hours.append(float(said.split("about ")[1].split()[0]))
    assert hours[0] > hours[1] > hours[2] > 0.1  # one answer is one process's work


def test_it_is_said_before_the_first_row(monkeypatch):
    class Stopped(Exception):
        pass

    class Told(Silent):
        def note(self, text):
            assert "hours on 1 processes" in text
            raise Stopped

    with pytest.raises(Stopped):
        planned_row(RowConfig.made({**QUICK, "row": 2000, "days": 366}), Told())
