"""The records of results: they read what they wrote, their schema holds, and bad files are named."""

import dataclasses
import json

import jsonschema
import pytest
from support.commands import overt
from support.paths import TESTS
from support.report_data import CATEGORIES, TARGETS, make_outcomes, make_prompts, make_rewriting

from overt.data.errors import InputError
from overt.data.results.files import read_remedy, read_summary, write_remedy, write_summary
from overt.data.results.remedy import Remedy, RemedyTarget
from overt.data.results.summary import SCHEMA, PromptCounts, Rate, Rates, SideCounts, Summary
from overt.data.run.files import dump_json
from overt.data.table_model import Cell, Table, rate_cell
from overt.data.typed_json import from_json, json_schema, to_json
from overt.scoring.summary.metrics import METRICS, why_missing
from overt.scoring.summary.summarize import summarize

OLD = TESTS / "runs_0_1_0"
EMPTY = Summary(level=0.95, prompts=PromptCounts(), targets=())


@pytest.fixture(scope="module")
def summary():
    prompts = make_prompts(benign=90, unsafe=45)
    outcomes, harms = make_outcomes(prompts)
    return summarize(
        list(prompts.values()),
        outcomes,
        list(harms.values()),
        categories=list(CATEGORIES.items()),
        kinds={name: kind for name, kind, *_ in TARGETS},
    )


@pytest.mark.parametrize("run", ["pictures", "answers"])
def test_files_of_0_1_0_are_read_and_lose_nothing(run, tmp_path):
    data = json.loads((OLD / run / "results" / "summary.json").read_text())
    found = read_summary(OLD / run)
    assert to_json(found) == {**data, "schema": SCHEMA}
    write_summary(tmp_path, found)
    text = (tmp_path / "results" / "summary.json").read_bytes()
    assert text == dump_json({**data, "schema": SCHEMA})
    assert read_summary(tmp_path) == found


def test_a_rewriting_of_0_1_0_is_read_and_loses_nothing(tmp_path):
    found = read_remedy(OLD / "pictures")
    write_remedy(tmp_path, found)
    old = (OLD / "pictures" / "results" / "rewrite.json").read_bytes()
    assert (tmp_path / "results" / "rewrite.json").read_bytes() == old


def test_a_summary_is_valid_by_its_published_schema(summary):
    schema = json_schema(Summary)
    data = json.loads(json.dumps(to_json(summary), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    assert data["schema"] == SCHEMA
    assert data["pairs"]
    assert data["judges"]
    assert any(target["sweep"] for target in data["targets"])
    for spoil in (
        lambda d: d.pop("level"),
        lambda d: d["targets"][0].update(name=3),
        lambda d: d["targets"][0]["over_refusal"].pop("n"),
        lambda d: d["targets"][0].update(kind="sound"),
    ):
        bad = json.loads(json.dumps(data))
        spoil(bad)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_the_schema_knows_every_metric():
    rates = json_schema(Rates)["properties"]
    assert list(rates) == list(METRICS) == [field.name for field in dataclasses.fields(Rates)]


@pytest.mark.parametrize("of", ["summary", "rewrite", "compare", "leaderboard"])
def test_every_schema_is_printed(of, tmp_path):
    schema = json.loads(overt("schema", of, cwd=tmp_path).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")


def test_an_unknown_schema_is_named(tmp_path):
    said = overt("schema", "policy", cwd=tmp_path, code=2).stderr
    assert "'policy'" in said
    assert "leaderboard" in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"level": "high"}, "level"),
        ({"targets": [{"name": "t"}]}, "targets.0.coverage"),
        ({"targets": None}, "targets"),
        ({"prompts": {"benign": "many"}}, "prompts.benign"),
    ],
)
def test_a_spoilt_file_is_named_with_its_field(change, field, tmp_path):
    path = tmp_path / "results" / "summary.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**to_json(EMPTY), **change}))
    with pytest.raises(InputError) as raised:
        read_summary(tmp_path)
    assert raised.value.what.startswith(f"{field}: ")
    assert raised.value.where == str(path)


def test_a_summary_of_a_newer_overt_is_refused(tmp_path):
    path = tmp_path / "results" / "summary.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**to_json(EMPTY), "schema": SCHEMA + 1, "later": 1}))
    with pytest.raises(InputError) as raised:
        read_summary(tmp_path)
    assert raised.value.what.startswith("schema: ")
    path.write_text(json.dumps({**to_json(EMPTY), "later": 1}))  # a new field alone is ignored
    assert read_summary(tmp_path) == EMPTY


def test_what_the_report_adds_is_left_out_elsewhere():
    target = RemedyTarget(name="t")
    assert "untried" not in to_json(target)
    assert to_json(dataclasses.replace(target, untried=SideCounts(2, 1)))["untried"] == {
        "benign": 2,
        "unsafe": 1,
    }
    prompts = make_prompts(benign=60, unsafe=30)
    outcomes, _ = make_outcomes(prompts)
    remedy = make_rewriting(prompts, outcomes).remedy
    assert from_json(Remedy, json.loads(json.dumps(to_json(remedy)))) == remedy


def test_only_records_become_json():
    for value in ({"a": 1}, "text", Summary):
        with pytest.raises(TypeError):
            to_json(value)


# -- metrics and the table model -----------------------------------------------------------------------------


def test_a_missing_rate_says_why(summary):
    guarded, _, bare, _ = summary.targets
    assert why_missing(bare, "harmful") == why_missing(bare, "softened") == "nothing is drawn"
    assert why_missing(guarded, "safe_response") == "no model judged harm"
    nobody = dataclasses.replace(guarded, unsafe_refusal=None)
    assert (
        why_missing(nobody, "safe_response") == why_missing(nobody, "harmful") == "no unsafe prompts answered"
    )
    assert why_missing(nobody, "over_refusal") == "no benign prompts answered"


def test_one_cell_three_renderers():
    from overt.cli.tables import cell_text as in_terminal
    from overt.report.markdown import cell_text as in_markdown

    rate = Rate(12, 1200, 0.01, 0.0057, 0.0174)
    cell = rate_cell(rate, "cost")
    assert in_terminal(cell) == "1.0% [0.6, 1.7]"
    assert in_markdown(cell) == "1.0% (0.6 to 1.7)"
    assert cell.below == "0.6 to 1.7 · n\u00a01,200"
    assert (cell.heat, rate_cell(rate, "gain", 0.02).heat) == ("cost-0", "gain-5")
    none = rate_cell(None, "cost", missing="no *benign* prompts")
    assert (in_terminal(none), in_markdown(none), none.below) == (
        "-", r"no \*benign\* prompts", "no *benign* prompts",
    )  # fmt: skip
    hostile = Cell("a\x1b[31m|b\u202e<i>")
    assert in_terminal(hostile) == "a [31m|b <i>"
    assert in_markdown(hostile) == r"a\[31m\|b&lt;i&gt;"
    assert in_terminal(Cell("\u22121.5", sort=-1.5)) == "-1.5"


def test_a_markdown_table_has_its_total_last():
    from overt.report.markdown import markdown_table

    table = Table(
        "t", "caption", ["a", "b|c"], [[Cell("x"), Cell("1", sort=1)]], total=[Cell("all"), Cell("1")]
    )
    assert markdown_table(table) == ["| a | b\\|c |", "|---|---:|", "| x | 1 |", "| all | 1 |"]
