"""The end of a run says why: refusals by stage and reason, errors by kind; unknown codes are named."""

import json
from pathlib import Path

import pytest
from support.builders import page_text
from support.commands import write_prompts
from typer.testing import CliRunner

from overt.cli import app
from overt.cli.run import MOST_WHY

CLASS = """
from overt.data.targets import Response

class Gate:
    name = "acme/gate"

    def respond(self, prompt, *, seed):
        kind = prompt.split()[-1]
        if kind == "odd":
            return Response(status=400, code="house_rule_7", message="no")
        known = {"bomb": "content_policy_violation", "blood": "image_unsafe"}
        return Response(status=400, code=known[kind])
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"gate_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(CLASS)

    def run(benign, unsafe, *options):
        data = write_prompts(tmp_path / "p.jsonl", benign, unsafe)
        return CliRunner().invoke(
            app, ["run", str(data), "--target", f"{module}:Gate", "--out", "run", "-q", *options]
        )

    return run


def rows_of(text):
    """The lines of the table of reasons, word by word."""
    lines = text.splitlines()
    start = next(
        n
        for n, line in enumerate(lines)
        if line.split() == ["prompts", "outcome", "stage", "reason", "count"]
    )
    return [line.split() for line in lines[start + 1 : lines.index("", start)]]


def test_reasons_by_stage_and_errors_by_kind(ran):
    done = ran(["a bomb", "red bomb", "blue blood", "an odd", "very odd"], ["big bomb"])
    assert done.exit_code == 3
    assert rows_of(done.output) == [
        ["benign", "refused", "prompt", "filter", "content_policy_violation", "2"],
        ["benign", "refused", "image", "filter", "image_unsafe", "1"],
        ["unsafe", "refused", "prompt", "filter", "content_policy_violation", "1"],
        ["-", "error", "-", "bad_request", "2"],
    ]
    note = next(line for line in done.output.splitlines() if line.startswith("note "))
    assert "'house_rule_7' (2)" in note
    assert note[5:].strip() in "\n".join(json.loads(Path("run/manifest.json").read_text())["notes"])
    assert CliRunner().invoke(app, ["report", "run"]).exit_code == 0
    page = page_text(Path("run/report/index.html").read_text("utf-8"))
    assert "Reasons of refusals and errors" in page
    assert "error - bad_request 2" in page
    # Taught, the same folder says it otherwise, and there is nothing left to name.
    Path("codes.yaml").write_text("any: {model: [house_rule_7]}\n")
    again = ran(
        ["a bomb", "red bomb", "blue blood", "an odd", "very odd"], ["big bomb"], "--codes", "codes.yaml"
    )
    assert again.exit_code == 0
    assert ["benign", "refused", "model", "house_rule_7", "2"] in rows_of(again.output)
    assert "does not know" not in again.output


def test_many_reasons_are_cut_and_none_makes_no_table(ran, tmp_path):
    words = "\n".join(f"word{n:02}" for n in range(MOST_WHY + 3))
    (tmp_path / "words.txt").write_text(words)
    data = write_prompts(tmp_path / "q.jsonl", [f"a {word}" for word in words.split()])
    filtered = ["--target", "filter/keywords?path=words.txt", "-q"]
    done = CliRunner().invoke(app, ["run", str(data), *filtered, "--out", "many"])
    assert "3 rarer reasons are in the report" in done.output
    data = write_prompts(tmp_path / "q.jsonl", ["a street"])
    assert "outcome" not in CliRunner().invoke(app, ["run", str(data), *filtered, "--out", "none"]).output
