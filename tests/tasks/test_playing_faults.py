"""Environments that are broken, and answers that want to break one: a fault of the class is told, whatever a
model says ends in one state."""

import json
import sqlite3
from pathlib import Path

import pytest
from support.broken_environments import FAULTS
from support.inside import cli

from overt.data.episodes import Episode, Step, Unjudged
from overt.data.run.episodes import episodes_of
from overt.scoring.episodes import judged_episodes, outcome_of_episode, settled
from overt.scoring.text_answers import with_verdicts

SUPPORT = Path(__file__).parents[1] / "support"
MODELS = "support.episode_models"


def run(folder, model, *more, suite="greeting", code=0):
    target = f"{MODELS}:{model}"
    return cli(
        "run", "--suite", SUPPORT / f"{suite}.yaml", "--target", target, "--out", folder, *more, code=code
    )


# -- broken classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [*FAULTS, "no tasks", "equal tasks"])
def test_a_broken_environment_is_told_as_one(tmp_path, fault):
    done = run(tmp_path / "run", "Polite", "--setting", f"fault={fault}", suite="broken", code=2)
    assert "overt: broken: " in done.said
    assert "Mend the class" in done.said
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_an_environment_without_its_fault_plays(tmp_path):
    run(tmp_path / "run", "Polite", suite="broken")
    assert len(list(episodes_of(tmp_path / "run"))) == 5


def test_a_fault_ends_all_sending(tmp_path):
    """Of two hundred episodes that are under way none is paid for to its end."""
    more = ("--setting", "fault=third", "--setting", "most=200", "--turns", "100", "--concurrency", "4")
    done = run(tmp_path / "run", "Unhurried", *more, suite="broken", code=2)
    assert "KeyError: 'k'" in done.said
    with sqlite3.connect(tmp_path / "run" / "journal.sqlite") as journal:
        (asked,) = journal.execute("SELECT count(*) FROM calls").fetchone()
    assert asked < 40


# -- answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["Endless", "Deep"])
def test_what_no_environment_should_work_on_is_unreadable(tmp_path, model):
    run(tmp_path / "run", model, code=3)
    assert {(e.state, e.code) for e in episodes_of(tmp_path / "run")} == {("missing", "unreadable")}


def test_an_agent_may_end_its_turn_without_a_word(tmp_path):
    run(tmp_path / "run", "Silent")
    found = list(episodes_of(tmp_path / "run"))
    assert [(e.state, e.end) for e in found] == [("ended", "done")] + [("ended", "gave_up")] * 4
    assert [len(e.steps) for e in found] == [1, 2, 2, 2, 2]


@pytest.mark.parametrize("model", ["Mute", "Pondering", "CutShort"])
def test_no_answer_at_all_is_missing(tmp_path, model):
    run(tmp_path / "run", model, code=3)
    found = list(episodes_of(tmp_path / "run"))
    assert {(e.state, e.code) for e in found if e.end != "done"} == {("missing", "empty_answer")}


def test_what_the_floor_stops_is_nowhere(tmp_path):
    run(tmp_path / "run", "Unspeakable", code=3)
    assert [(e.state, e.code) for e in episodes_of(tmp_path / "run")][1:] == [("missing", "floor")] * 4
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [path for path in files if b"9-year-old" in path.read_bytes()]


# -- filters in front of an agent --------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--every-layer",)])
def test_a_filter_reads_what_the_user_says_and_nothing_else(tmp_path, more):
    """Not the results of tools, and not what overt says of a call that cannot be read."""
    run(tmp_path / "run", "Stumbling", "--filter", "support.broken_environments:Strict", *more)
    found = list(episodes_of(tmp_path / "run"))
    assert [(e.state, e.stage, e.at) for e in found[:4]] == [
        ("ended", None, None), ("ended", None, None), ("refused", "prompt_filter", 1), ("ended", None, None),
    ]  # fmt: skip
    assert [[len(s.layers) for s in e.steps] for e in found] == [[1], [1, 0], [1], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert all(step.repaired for step in found[3].steps)


# -- how an episode ended ----------------------------------------------------------------------------------


def episode(state, outcome, *steps, **more):
    return Episode("e", "p", "t", 0, 1, "greeting", "benign", "c", "k", state,
                   facts={"outcome": outcome}, steps=steps, **more)  # fmt: skip


STOPPED = Step(2, "said hello", state="refused", stage="prompt_filter", code="content_filter")


@pytest.mark.parametrize(
    ("outcome", "state", "counts"),
    [("done", "ended", "generated"), ("half", "refused", "refused"), ("none", "refused", "refused")],
)
def test_a_service_that_refuses_the_last_words_did_not_refuse_what_was_done(outcome, state, counts):
    found = settled(episode("refused", outcome, STOPPED, stage="prompt_filter", code="content_filter", at=2))
    assert found.state == state
    assert (found.code == "") == (state == "ended")
    assert outcome_of_episode(found).state == counts
    assert found.refusals == 1  # the turn stays what it was


def test_an_error_after_all_was_done_is_missing():
    found = settled(episode("missing", "done", Step(2, "said hello", state="error"), code="server"))
    assert (found.state, outcome_of_episode(found).state) == ("missing", "error")


# -- judging as they come ----------------------------------------------------------------------------------


def test_episodes_without_words_do_not_wait_for_a_judge():
    drawn = []

    def source():
        for number in range(5_000):
            drawn.append(number)
            yield Unjudged(episode("ended", "done"))

    def judge(pairs):
        assert not list(pairs)
        yield from ()

    found = judged_episodes(source(), "judge", judge)
    for number in range(5_000):
        next(found)
        assert len(drawn) == number + 1


def test_few_items_wait_behind_one_that_is_judged():
    """A judge that reads all before it says anything must not gather the items that it has no word on."""
    drawn = []

    def source():
        for number in range(5_000):
            drawn.append(number)
            yield number

    def judge(pairs):
        yield from list(pairs)

    def answers(number):
        return [("asked", str(number))] if number % 1_000 == 0 else []

    found = with_verdicts(source(), answers, lambda number, verdicts: (number, verdicts), judge)
    for number, (item, verdicts) in enumerate(found):
        assert item == number
        assert verdicts == answers(number)
        assert len(drawn) - number <= 1 + 257
    assert len(drawn) == 5_000


def test_verdicts_go_to_their_items():
    def judge(pairs):
        yield from (answer for _, answer in pairs)

    items = ["", "a", "bc", "", "def", ""] * 300
    found = with_verdicts(items, lambda i: [("", c) for c in i], lambda i, said: (i, "".join(said)), judge)
    assert list(found) == [(item, item) for item in items]


def test_the_suites_have_a_prompt_for_each_task(tmp_path):
    target = f"{MODELS}:Polite"
    cli(
        "run", "--suite", "agent-matrix", "--target", target, "--turns", 1, "--out", tmp_path / "m", code=None
    )
    ids = [json.loads(line)["id"] for line in (tmp_path / "m/stages/episodes.jsonl").read_text().splitlines()]
    assert ids
    assert len(set(ids)) == len(ids)
