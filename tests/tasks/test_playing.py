"""Episodes through `overt run`: each ends in exactly one state, and a resumed run repeats nothing."""

import json
from pathlib import Path

import pytest
from support.inside import cli

from overt.data.results.files import read_episodes
from overt.data.run.episodes import episodes_of

SUITE = Path(__file__).parents[1] / "support" / "greeting.yaml"
MODELS = "support.episode_models"


def played(folder, *models, code=0, suite=SUITE, **options):
    more = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    targets = [text for model in models for text in ("--target", f"{MODELS}:{model}")]
    cli("run", "--suite", suite, *targets, *more, "--out", folder, code=code)
    return list(episodes_of(folder))


def states(episodes):
    return [(e.state, e.end or e.code) for e in episodes]


def test_the_environment_ends_an_episode_or_the_cap_does(tmp_path):
    found = played(tmp_path / "run", "Polite")
    assert states(found) == [("ended", "done")] * 4 + [("capped", "turns")]
    assert [len(e.steps) for e in found] == [1, 2, 3, 4, 4]
    assert [e.facts["said"] for e in found] == [1, 2, 3, 4, 4]
    summary = read_episodes(tmp_path / "run").targets[0]
    assert (summary.episodes, summary.turns) == (5, 14)
    assert summary.states == {"ended": 4, "capped": 1}
    assert summary.ends == {"done": 4, "turns": 1}


def test_the_cap_is_an_option(tmp_path):
    assert [len(e.steps) for e in played(tmp_path / "run", "Polite", turns=2)] == [1, 2, 2, 2, 2]


def test_a_call_that_cannot_be_read_is_told_once(tmp_path):
    found = played(tmp_path / "run", "Stumbling")
    assert states(found)[:2] == [("ended", "done")] * 2
    assert all("arguments of say are no JSON" in step.repaired for e in found for step in e.steps)
    assert read_episodes(tmp_path / "run").targets[0].repaired == 14


@pytest.mark.parametrize(("model", "why"), [("Babbling", "no tool 'shout'"), ("Empty", "an empty word")])
def test_twice_unreadable_is_missing_and_no_refusal(tmp_path, model, why):
    found = played(tmp_path / "run", model, code=3)  # below coverage
    assert states(found) == [("missing", "unreadable")] * 5
    assert all(why in e.evidence and e.at == 1 for e in found)
    assert read_episodes(tmp_path / "run").targets[0].missing == {"unreadable": 5}


def test_an_error_is_missing_in_the_turn_where_it_came(tmp_path):
    found = played(tmp_path / "run", "Failing", code=3)
    assert states(found) == [("ended", "done")] + [("missing", "too_long")] * 4
    assert {e.at for e in found[1:]} == {2}
    assert {e.facts["said"] for e in found} == {1}  # what was done before stays known


def test_a_filter_of_the_service_ends_it_as_refused(tmp_path):
    found = played(tmp_path / "run", "Filtered")
    assert states(found)[1:] == [("refused", "content_filter")] * 4
    assert {(e.stage, e.at) for e in found[1:]} == {("prompt_filter", 2)}


def test_a_model_that_refuses_half_way_has_refused(tmp_path):
    found = played(tmp_path / "run", "Refusing")
    assert states(found) == [("ended", "done")] + [("refused", "gave_up")] * 4
    assert {(e.stage, e.code, e.at) for e in found[1:]} == {("model", "full_refusal", 2)}
    outcomes = [
        json.loads(line) for line in (tmp_path / "run/stages/outcomes.jsonl").read_text().splitlines()
    ]
    assert [o["state"] for o in outcomes] == ["generated"] + ["refused"] * 4


def test_words_alone_are_neither_done_nor_a_refusal(tmp_path):
    found = played(tmp_path / "run", "Done")
    assert states(found) == [("ended", "gave_up")] * 5
    assert {e.facts["outcome"] for e in found} == {"none"}


def test_a_model_without_tools_plays_in_words(tmp_path):
    found = played(tmp_path / "run", "Wordy")
    assert states(found) == states(played(tmp_path / "other", "Polite"))
    assert [call.name for call in found[1].steps[1].calls] == ["say"]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert any("takes no tools" in note for note in manifest["notes"])


def test_every_call_of_a_turn_gets_its_result(tmp_path):
    found = played(tmp_path / "run", "Twice")
    assert [len(e.steps) for e in found] == [1, 1, 2, 2, 3]
    assert found[2].steps[1].told == "said hello\n\nsaid hi"


def test_a_target_that_cannot_act_is_refused_before_anything_is_asked(tmp_path):
    done = cli("run", "--suite", SUITE, "--target", "filter/better-profanity", "--out", tmp_path, code=2)
    assert "calls no tools" in done.said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--setting", "least=2"), "no setting 'least'"),
        (("--setting", "most"), "no NAME=VALUE"),
        (("--shard", "1/2"), "--shard does not go with greeting"),
        (("prompts.csv",), "takes no data set"),
        (("--category", "nothing"), "no task of greeting is left"),
    ],
)
def test_what_does_not_go_with_a_suite_is_told(tmp_path, monkeypatch, arguments, said):
    (tmp_path / "prompts.csv").write_text("text,label\nhello,benign\n")
    monkeypatch.chdir(tmp_path)
    done = cli("run", *arguments, "--suite", SUITE, "--target", f"{MODELS}:Polite", "--out", "run", code=2)
    assert said in done.said


def test_options_of_episodes_are_for_such_suites(tmp_path):
    (tmp_path / "p.csv").write_text("text,label\nhello,benign\n")
    done = cli("run", tmp_path / "p.csv", "--turns", 3, "--target", "filter/better-profanity", code=2)
    assert "for suites of many turns" in done.said


def test_the_same_seed_gives_the_same_episodes(tmp_path):
    one, other = (played(tmp_path / name, "Refusing", seed=7) for name in "ab")
    stripped = [[(e.id, e.seed, e.state, [s.told for s in e.steps]) for e in run] for run in (one, other)]
    assert stripped[0] == stripped[1]


# -- interrupted -------------------------------------------------------------------------------------------


def test_a_cap_on_requests_stops_and_the_same_command_goes_on(tmp_path):
    played(tmp_path / "run", "Polite", max_requests=5, code=4)
    assert not (tmp_path / "run" / "manifest.json").exists()
    found = played(tmp_path / "run", "Polite")
    assert len(found) == 5
    calls = json.loads((tmp_path / "run" / "manifest.json").read_text())["calls"]
    assert (calls["requests"], calls["cached"]) == (14 - 5, 5)
