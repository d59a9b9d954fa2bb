"""Runs of suites of many turns at the command line: what is printed, what lists them, what refuses them."""

import io
import json
import re
import shutil

import pytest
from rich.console import Console
from support.inside import cli
from support.paths import ROOT, TESTS
from typer.testing import CliRunner

from overt.cli import completion
from overt.cli.episodes import print_episodes
from overt.cli.suites import app as suites_app
from overt.cli.tables import print_folded
from overt.data.results.episodes import Column, EpisodesSummary, Figure, Played, Row, Section
from overt.data.results.files import read_episodes
from overt.data.run.finished import open_run
from overt.data.suites.episodes.load import list_episode_suites
from overt.data.table_model import Cell, Table

GREETING = TESTS / "support" / "greeting.yaml"
POLITE, SHY = "support.greeting:Polite", "support.greeting:Shy"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("greeting") / "runs" / "run"
    cli("run", "--suite", GREETING, "--target", POLITE, "--target", SHY, "--out", folder)
    return folder


# -- what cannot use such a run --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("rewrite", "{}"),
        ("explain", "{}"),
        ("score", "{}", "--judges", "filter/better-profanity"),
        ("score", "{}", "--faithfulness", "scorer/clip"),
        ("calibrate", "{}", "--max-over-refusal", "5%"),
        ("answer-forms", "{}"),
        ("export", "{}", "--format", "lm-eval", "--out", "{}-out"),
        ("export", "{}", "--format", "sft", "--out", "{}-out"),
        ("review", "{}"),
        ("merge", "{}", "--out", "{}-out"),
        ("publish", "{}", "--repo", "me/mine"),
    ],
    ids=lambda words: " ".join(words[:1] + words[2:4]),
)
def test_what_works_on_single_prompts_says_so(run, command):
    words = [word.replace("{}", str(run)) for word in command]
    done = cli(*words, code=2)
    assert "a suite of many turns, and this command works on single prompts and their answers" in done.said
    assert f"overt show {run}" in done.said
    assert not (run.parent / "run-out").exists()


def test_what_reads_outcomes_alone_takes_such_a_run(run, tmp_path):
    shown = cli("show", run).stdout
    assert "5 episodes, 14 turns: 4 ended, 0 refused, 1 capped, 0 missing" in shown
    gate = cli("gate", run, "--max-over-refusal", "5%", code=None)
    assert f"fail {SHY}" in gate.said
    cli("leaderboard", run, "--out", tmp_path / "board")
    data = json.loads((tmp_path / "board" / "leaderboard.json").read_text())
    assert [one["suite"] for one in data["boards"]] == [str(GREETING)]
    assert "Suite of many turns" in (tmp_path / "board" / "index.html").read_text()
    same = cli("compare", run, run).stdout
    assert "only one of the two runs" not in same


def test_a_run_of_single_prompts_stands_on_another_board_and_is_told_apart(run, tmp_path):
    prompts = tmp_path / "asked.jsonl"
    shutil.copy(run / "stages" / "prompts.jsonl", prompts)
    alone = tmp_path / "alone"
    plain = ("--target", "support.errands:Calm", "--policy", "chat_assistant")
    cli("run", prompts, *plain, "--out", alone, code=None)
    assert open_run(alone, "run").played_suite == ""
    cli("leaderboard", run, alone, "--out", tmp_path / "board")
    data = json.loads((tmp_path / "board" / "leaderboard.json").read_text())
    assert sorted(one["suite"] for one in data["boards"]) == ["", str(GREETING)]
    pair = f"{POLITE}=>support.errands:Calm"
    said = cli("compare", run, alone, "--match", pair, code=None)
    assert "only one of the two runs plays" in said.said


def test_the_page_over_all_runs_lists_it(run):
    from support.view_data import asked, desk_of

    desk = desk_of(run.parents[1])
    try:
        (found,) = asked(desk, "runs")["runs"]
        assert found["complete"]
        assert found["faults"] == []
        assert [target["name"] for target in found["targets"]] == [POLITE, SHY]
    finally:
        desk.close()


def test_the_report_is_made_anew_after_a_resume(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = (copy / "results" / "episodes.json").read_bytes()
    (copy / "manifest.json").unlink()
    cli("run", "--resume", copy)
    assert (copy / "results" / "episodes.json").read_bytes() == before


# -- what is printed -------------------------------------------------------------------------------------


def test_warnings_come_first_and_every_figure_stands_with_its_counts():
    columns = (
        Column("a", "Lingers", "Over all.", "cost"),
        Column("b", "Turns"),
        Column("c", "Against the control"),
    )
    rows = (
        Row("m", "alone", (Figure(0.25, 0.1, 0.5, 2, 8, 3), Figure(1.5, n=8, unit="number"),
                           Figure(-0.125, -0.2, 0.05, n=8, unit="difference"))),
        Row("m", "after\x1b[31m", (Figure(None, note="nothing was refused"), Figure(3, n=8, unit="number"),
                                   Figure(0.5, unit="difference"))),
    )  # fmt: skip
    section = Section("s", "Does it linger?", columns, rows, ("What it shows.",), "setting")
    played = Played("m", 16, 32, {"ended": 13, "missing": 3}, {}, {"server": 3})
    found = EpisodesSummary("e", 1, "s", "After a refusal", (played,), (section,), ("Mind this.",))
    lines = printed(lambda to: print_episodes(to, found), 200)
    assert lines[:2] == ["After a refusal", "Mind this."]
    assert "16 episodes, 32 turns: 13 ended, 0 refused, 0 capped, 3 missing" in lines
    assert "missing: server 3" in lines
    assert lines.index("Does it linger?: m") < lines.index("What it shows.")
    (alone,) = [line for line in lines if line.startswith("alone")]
    assert alone.split("  ")[-1].strip() == "-12.5 (n 8) [-20.0, 5.0]"
    assert "25.0% (2 of 8; 3 missing) [10.0, 50.0]" in alone
    assert "1.50 (n 8)" in alone
    assert "Lingers: -, nothing was refused (after [31m)" in lines
    assert "\x1b[31m" not in "\n".join(lines)


def printed(what, width):
    file = io.StringIO()
    what(Console(file=file, width=width, highlight=False, force_terminal=True, color_system=None))
    return file.getvalue().splitlines()


def test_a_wide_table_is_folded_with_its_names_repeated():
    rows = [
        [Cell(target), Cell(group), *(Cell("9" * 30) for _ in range(3))]
        for target in ("first", "second")
        for group in ("a", "b")
    ]
    table = Table("t", "T", ["Target", "Group", "One", "Two words", "Three"], rows, numeric_from=2)
    figure = "9" * 30
    row, last = f"  {{}}      {figure}  {figure}".format, f"  {{}}      {figure}".format
    head = "  Group" + "One".rjust(32) + "Two words".rjust(32)
    assert printed(lambda to: print_folded(to, table), 80) == [
        head, "first", row("a"), row("b"), "second", row("a"), row("b"), "",
        "  Group" + "Three".rjust(32), "first", last("a"), last("b"), "second", last("a"), last("b"),
    ]  # fmt: skip
    whole = printed(lambda to: print_folded(to, table), 200)
    assert [line.split()[:2] for line in whole[1:]] == [
        ["first", "a"],
        ["first", "b"],
        ["second", "a"],
        ["second", "b"],
    ]
    # A column that is wider than the terminal still stands, and figures are never cut.
    assert sum(figure in line for line in printed(lambda to: print_folded(to, table), 20)) == 12
    assert printed(lambda to: print_folded(to, Table("t", "T", ["a"], [])), 80) == []


def test_titles_are_broken_where_they_are_wider_than_their_figures():
    titles = ["Target", "A long title of many words", "Another long title of many words"]
    table = Table("t", "T", titles, [[Cell("x"), Cell("1"), Cell("2")]])

    def line(first, one, two):
        return f"{first:6}  {one:>13}  {two:>13}"

    assert printed(lambda to: print_folded(to, table), 40) == [
        line("", "", "Another long"), line("", "A long title", "title of many"),
        line("Target", "of many words", "words"), line("x", "1", "2"),
    ]  # fmt: skip


def test_json_has_the_figures(run):
    data = json.loads(cli("show", run, "--json").stdout)
    assert data["episodes"]["suite"] == "greeting"
    assert data["episodes"]["targets"][0]["states"] == {"capped": 1, "ended": 4}
    assert data["summary"]["targets"][1]["over_refusal"]["k"] == 5
    assert read_episodes(run).sections[0].rows[0].figures[0].value == 2.8


def test_the_schema_of_the_figures_is_printed():
    data = json.loads(cli("schema", "episodes").stdout)
    assert {"targets", "sections", "warnings"} <= set(data["properties"])


# -- suites ----------------------------------------------------------------------------------------------


def test_a_suite_of_ones_own_is_shown_with_settings_and_tasks():
    shown = CliRunner().invoke(suites_app, ["show", str(GREETING)]).stdout
    for said in (
        "greeting: Greeting, hash ", "environment: support.greeting:Greeting, version 1",
        "works on: tasks of its own, 5", "takes of a target: tools", "turns: up to 4 (--turns)",
        "--setting most=5", f"overt run --suite {GREETING} --target openai/MODEL",
    ):  # fmt: skip
        assert said in shown, said
    data = json.loads(CliRunner().invoke(suites_app, ["show", str(GREETING), "--json"]).stdout)
    assert (data["tasks"], data["takes"], data["players"]) == (5, ["tools"], {})


def test_shipped_suites_of_many_turns_are_listed_shown_and_proposed():
    names = list_episode_suites()
    listed = CliRunner().invoke(suites_app, ["list"]).stdout
    _, _, many = listed.partition("Suites of many turns:")
    assert all(f"\n{name}  (" in many for name in names)
    data = json.loads(CliRunner().invoke(suites_app, ["list", "--json"]).stdout)
    assert [suite["name"] for suite in data if "environment" in suite] == list(names)
    assert set(completion.names("suite of any kind")) == {*completion.names("suite"), *names}
    for name in names:
        shown = CliRunner().invoke(suites_app, ["show", name])
        assert shown.exit_code == 0, name
        assert "player: scripted/" in shown.stdout, name


# -- the page of the documentation -----------------------------------------------------------------------


def test_the_environment_of_the_page_is_run_as_the_page_says(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "howto" / "episodes.md").read_text("utf-8")
    files = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL))
    assert set(files) == {"greetings.py", "greetings.yaml"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "works on: tasks of its own, 5" in cli("suites", "show", "greetings.yaml").stdout
    (command,) = [line for line in page.splitlines() if line.startswith("overt run --suite greetings.yaml")]
    done = cli(*command.split()[1:])
    assert "5 episodes, 14 turns: 4 ended, 0 refused, 1 capped, 0 missing" in done.stdout
    assert done.stdout.splitlines()[1] == "These greetings are made up."
    assert "greetings:Polite  2.80 (n 5)" in done.stdout


def test_every_shipped_suite_has_a_row_on_the_page_of_suites():
    page = (ROOT / "docs" / "suites.md").read_text("utf-8").partition("## Suites of many turns")[2]
    for name in list_episode_suites():
        assert any(line.startswith(f"| `{name}` |") for line in page.splitlines()), name
