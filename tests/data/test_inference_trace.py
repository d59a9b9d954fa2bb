"""Traces of inference services: the public layouts, and what is said of broken ones, by line and column."""

import gzip
import json
import os
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from support.paths import reference

from overt.data.errors import InputError
from overt.data.inference_trace import read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
GOOD = (
    AZURE
    + """2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0319600,110,0
2023-11-17 00:00:04.0000000,7433,14
"""
)


def written(tmp_path, text, name="trace.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def columns(trace):
    return trace.seconds.tolist(), trace.prompt.tolist(), trace.answer.tolist()


class TestWhatIsRead:
    def test_azures_layout(self, tmp_path):
        trace = read_trace(written(tmp_path, GOOD))
        assert trace.seconds == pytest.approx([0, 0.052, 0.052, 20580.02004], abs=1e-4)
        assert trace.prompt.tolist() == [4808, 3180, 110, 7433]
        assert trace.answer.tolist() == [10, 8, 1, 14]  # what was answered has a token
        assert trace.span_s == pytest.approx(20580.02004 * 4 / 3)
        assert (trace.name, trace.seconds.dtype, trace.prompt.dtype) == ("trace.csv", np.float64, np.int64)

    def test_the_layout_of_splitwise_sim(self, tmp_path):
        text = (
            "request_id,request_type,application_id,arrival_timestamp,batch_size,prompt_size,token_size\n"
            "0,2,0,1.5,1,374,44\n1,2,0,5.75,1,396,109\n"
        )
        assert columns(read_trace(written(tmp_path, text))) == ([0, 4.25], [374, 396], [44, 109])

    def test_lines_of_json_numbers_and_gzip(self, tmp_path):
        rows = [
            {"timestamp": 10.5, "input_tokens": 7, "output_tokens": 3},
            {"timestamp": 12, "input_tokens": 8.0, "output_tokens": 0},
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        expected = ([0, 1.5], [7, 8], [3, 1])
        assert columns(read_trace(written(tmp_path, text, "trace.jsonl"))) == expected
        packed = tmp_path / "trace.jsonl.gz"
        packed.write_bytes(gzip.compress(text.encode()))
        assert columns(read_trace(packed)) == expected

    def test_parquet_with_times(self, tmp_path, monkeypatch):
        """Without a zone they are UTC, as in a text: where this machine stands changes nothing. In Berlin the
        clock jumps from two to three in this night."""
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        times = [datetime(2024, 3, 31, 1, 59), datetime(2024, 3, 31, 3, 1)]
        for number, zone in enumerate((None, UTC)):
            path = tmp_path / f"{number}.parquet"
            came = [at.replace(tzinfo=zone) for at in times]
            table = {"time": came, "prompt_tokens": [1, 2], "completion_tokens": [3, 4]}
            parquet.write_table(arrow.table(table), path)
            monkeypatch.setitem(os.environ, "TZ", "Europe/Berlin")
            time.tzset()
            try:
                assert read_trace(path).seconds.tolist() == [0, 62 * 60]
            finally:
                monkeypatch.undo()
                time.tzset()

    @pytest.mark.parametrize(("first", "second"), [("2024-01-01T00:00:00Z", "2024-01-01T01:30:00+01:00")])
    def test_zones(self, tmp_path, first, second):
        trace = read_trace(written(tmp_path, f"{AZURE}{first},1,1\n{second},1,1\n"))
        assert trace.seconds.tolist() == [0, 1800]

    @pytest.mark.parametrize(
        ("name", "requests", "span_s", "most"),
        [("conv", 19_366, 3501.72, (14_050, 1000)), ("code", 8_819, 3435.95, (7_437, 1899))],
    )
    def test_the_public_traces(self, name, requests, span_s, most):
        path = reference("power", f"AzureLLMInferenceTrace_{name}.csv")
        if path is None:
            pytest.skip("no shared/reference/power above the tests")
        trace = read_trace(path)
        assert len(trace.seconds) == requests
        assert trace.seconds[-1] == pytest.approx(span_s, abs=0.01)
        assert (trace.prompt.max(), trace.answer.max()) == most
        assert (np.diff(trace.seconds) >= 0).all()
        if name == "conv":
            # The points from which requests are drawn without a trace.
            from overt.planning.load import _ANSWERS, _PROMPTS, _SHARES

            assert np.quantile(trace.prompt, _SHARES) == pytest.approx(_PROMPTS, abs=1)
            assert np.quantile(trace.answer, _SHARES) == pytest.approx(_ANSWERS, abs=1)


# What is wrong, the table, its line (0: none), its column ("": none), words of the message.
BROKEN = {
    "out of order": (
        [
            (f"{AZURE}5.0,1,1\n4.5,1,1\n", 3, "TIMESTAMP", "comes 0.5 s before the one above it"),
            (f"{AZURE}1,1,1\n2,1,1\n1.75,1,1\n3,1,1\n", 4, "TIMESTAMP", "comes 0.25 s before"),
            (GOOD + "2023-11-16 18:17:05.0,1,1\n", 6, "TIMESTAMP", "before the one above it"),
        ]
    ),
    "a negative number": (
        [
            (f"{AZURE}1,-5,1\n2,1,1\n", 2, "ContextTokens", "'-5' is no whole number"),
            (f"{AZURE}1,5,1\n2,1,-1\n", 3, "GeneratedTokens", "'-1' is no whole number"),
            (f"{AZURE}1,5,1\n2,-0.5,1\n", 3, "ContextTokens", "'-0.5' is no whole number"),
        ]
    ),
    "a word": (
        [
            (f"{AZURE}1,many,1\n2,1,1\n", 2, "ContextTokens", "'many' is no whole number"),
            (f"{AZURE}1,5,1\nsoon,1,1\n", 3, "TIMESTAMP", "'soon' is no time"),
            (f"{AZURE}1,5,1\n2,1,None\n", 3, "GeneratedTokens", "'None' is no whole number"),
        ]
    ),
    "no number that can be": (
        [
            (f"{AZURE}1,nan,1\n2,1,1\n", 2, "ContextTokens", "'nan'"),
            (f"{AZURE}inf,1,1\n2,1,1\n", 2, "TIMESTAMP", "'inf'"),
            (f"{AZURE}1,1,1\n2,1,99999999999\n", 3, "GeneratedTokens", "'99999999999'"),
        ]
    ),
    "an empty field": (
        [
            (f"{AZURE},1,1\n2,1,1\n", 2, "TIMESTAMP", "'' is no time"),
            (f"{AZURE}1,1,1\n2,,1\n", 3, "ContextTokens", "'' is no whole number"),
            (f"{AZURE}1,1,1\n2,1\n", 3, "GeneratedTokens", "'' is no whole number"),
            (f"{AZURE}1,1,1\n\n2,1,1\n", 3, "TIMESTAMP", "'' is no time"),
        ]
    ),
    "a missing column": (
        [
            ("TIMESTAMP,ContextTokens\n1,1\n2,1\n", 2, "", "no column is plainly the answer's tokens"),
            ("TIMESTAMP,GeneratedTokens\n1,1\n2,1\n", 2, "", "no column is plainly the prompt's tokens"),
            ("when,ContextTokens,GeneratedTokens\n1,1,1\n", 2, "", "no column is plainly the arrival"),
        ]
    ),
    "too few": (
        [
            ("", 0, "", "the file is empty"),
            (AZURE, 0, "", "two requests at different times"),
            (f"{AZURE}1,1,1\n", 0, "", "two requests at different times"),
        ]
    ),
    "no time passes": (
        [
            (f"{AZURE}1,1,1\n1,1,1\n1,1,1\n", 0, "", "two requests at different times"),
            (f"{AZURE}1,1,1\n1.00001,1,1\n", 0, "", "2 requests come within 2e-05 s"),
            (
                AZURE + "".join(f"{n * 1e-6:.6f},1,1\n" for n in range(2000)),
                0,
                "",
                "2,000 requests come within 0.002 s",
            ),
        ]
    ),
}


@pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind, cases in BROKEN.items() for number in range(len(cases))]
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, kind, number):
    text, line, column, words = BROKEN[kind][number]
    path = written(tmp_path, text)
    with pytest.raises(InputError) as told:
        read_trace(path)
    assert words in told.value.what
    place = f"{path}, line {line}" if line else str(path)
    assert told.value.where == (f"{place}, column {column!r}" if column else place)
    assert told.value.fix


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"time": True, "input_tokens": 1, "output_tokens": 1}, "'True' is no time"),
        ({"time": 3, "input_tokens": True, "output_tokens": 1}, "'True' is no whole number"),
        ({"time": 3, "input_tokens": [1], "output_tokens": 1}, "is no whole number"),
        ({"time": None, "input_tokens": 1, "output_tokens": 1}, "'' is no time"),
    ],
)
def test_values_of_json_that_are_no_numbers(tmp_path, row, words):
    good = {"time": 1, "input_tokens": 1, "output_tokens": 1}
    path = written(tmp_path, f"{json.dumps(good)}\n{json.dumps(row)}\n", "trace.jsonl")
    with pytest.raises(InputError, match="line 2, column") as told:
        read_trace(path)
    assert words in told.value.what


def test_no_such_file_and_no_table(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no format that can be read"):
        read_trace(written(tmp_path, GOOD, "trace.log"))
