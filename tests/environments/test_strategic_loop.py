"""The loop of strategic games: openings, who revises when, who wins over budget, what a player is told."""

import json
from itertools import pairwise

import pytest
from support.inside import cli
from support.small_game import Stones

from overt.data.environments import Action
from overt.data.errors import InputError
from overt.data.results.files import read_episodes
from overt.data.run.episodes import episodes_of
from overt.data.tools import Call, NotACall
from overt.environments.strategic_games.environment import StrategicGames
from overt.environments.strategic_games.games import game_of
from overt.environments.strategic_games.match import Match, Setting, fought
from overt.environments.strategic_games.telling import Standing, standing_of, told_of

STONES = "support.small_game:Stones"
SETTINGS = {
    "games": STONES,
    "rounds": 10,
    "roles": ["A", "B"],
    "moves": ["first", "second"],
    "opponents": ["stubborn"],
}


def throws(**counts):
    return {"throws": [name for name, count in counts.items() for _ in range(count)]}


def submits(plan):
    return Action(calls=(Call("1", "submit_plan", plan),))


def match(*, first=True, rounds=10, opponent="stubborn", side="reds", seed=1):
    return Match(Setting(STONES, side, first, opponent, rounds), seed)


def played(session, plan):
    """Submits the same plan until the match is over; how many turns that took."""
    found, turns = session.begin(), 0
    while not found.end:
        found, turns = session.step(submits(plan)), turns + 1
    return turns


# -- who revises when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "rounds", "own"),
    [
        (True, 10, [1, 2, 4, 6, 8, 10]),
        (False, 10, [1, 3, 5, 7, 9]),
        (True, 1, [1]),
        (False, 1, [1]),
        (False, 2, [1]),
        (False, 3, [1, 3]),
    ],
)
def test_sides_revise_in_turn(first, rounds, own):
    session = match(first=first, rounds=rounds)
    assert played(session, throws(stone=1)) == len(own)
    log = session.facts()["rounds"]
    assert [one["round"] for one in log] == list(range(1, rounds + 1))
    assert [one["round"] for one in log if one["own"]] == own
    assert session.facts()["outcome"] == "done"


def test_only_the_opponent_changes_its_plan_between_own_revisions():
    session = match(first=True, opponent="alternating")
    played(session, throws(stone=1))
    against = [one["against"] for one in session.facts()["rounds"]]
    # Round 1: its opening; it revises before rounds 3, 5, 7 and 9.
    assert [a == b for a, b in pairwise(against)] == [True, False] * 4 + [True]
    assert len(set(against)) == 2


def test_an_unfinished_match_says_so():
    session = match()
    assert session.facts() == {"outcome": "none", "tries": 1, "rounds": [], "plans": {}}
    session.begin()
    session.step(submits(throws(stone=1)))
    assert session.facts()["outcome"] == "half"


# -- budgets -------------------------------------------------------------------------------------------------


def test_an_opening_over_budget_is_asked_for_again_and_the_last_one_stands():
    session = match(rounds=2)
    assert "do not know the opponent's" in session.begin().text
    over = throws(shears=3)
    for attempt in (1, 2):
        found = session.step(submits(over))
        assert found.facts == {"attempt": attempt, "cost": 9, "over": True}
        assert f"attempt {attempt + 1} of 3" in found.text
        assert session.facts()["rounds"] == []
    found = session.step(submits(over))
    assert found.facts == {"round": 1, "cost": 9, "over": True, "win": False}
    assert "over your budget" in found.text
    assert session.facts()["tries"] == 3
    session.step(submits(throws(stone=1)))
    assert session.facts()["tries"] == 3


def test_an_opening_that_is_mended_counts_its_tries():
    session = match(rounds=1)
    session.begin()
    session.step(submits(throws(shears=3)))
    assert session.step(submits(throws(shears=2))).end == "over"
    assert session.facts()["tries"] == 2
    assert session.facts()["rounds"][0]["cost"] == 6


@pytest.mark.parametrize(
    ("reds", "blues", "winner", "battles"),
    [
        (throws(shears=2), throws(sheet=2), "reds", 1),  # 6 of 6 and 4 of 4: the battle
        (throws(stone=1), throws(sheet=1), "blues", 1),
        (throws(shears=2, stone=1), throws(stone=1), "blues", 0),  # reds alone are over
        (throws(stone=1), throws(sheet=2, stone=1), "reds", 0),  # blues alone are over
        (throws(shears=3), throws(shears=1, sheet=1), "blues", 0),  # 150% and 125%
        (throws(shears=2, sheet=1), throws(sheet=3), "reds", 0),  # 133% and 150%, by 2 points each
        (throws(shears=3), throws(sheet=3), "", 0),  # 150% each
    ],
)
def test_who_wins_a_round(reds, blues, winner, battles):
    game = Stones()
    assert fought(game, {"reds": reds, "blues": blues}).winner == winner
    assert game.battles == battles


def test_a_round_that_nobody_wins_is_no_win():
    session = match(rounds=1, opponent="spendthrift")
    game = game_of(STONES)
    session.plans = {"reds": throws(shears=3), "blues": throws(sheet=3)}
    session._fight(is_own=True)
    (row,) = session.facts()["rounds"]
    assert (row["win"], row["draw"], row["ticks"]) == (False, True, None)
    assert game.name == "stones"


# -- plans that mean nothing ---------------------------------------------------------------------------------


def test_what_the_game_does_not_take_is_no_call():
    session = match()
    session.begin()
    with pytest.raises(NotACall, match="no throw 'lizard'"):
        session.step(submits({"throws": ["lizard"]}))
    with pytest.raises(NotACall, match="2 plans"):
        session.step(Action(calls=submits(throws(stone=1)).calls * 2))
    assert session.facts()["rounds"] == []


# -- what a player is told -----------------------------------------------------------------------------------


def test_the_block_says_all_that_a_player_needs():
    game = game_of(STONES)
    standing = Standing(
        game, STONES, "reds", 4, 10, 0, throws(shears=3), throws(sheet=1), False, ("1 to 0.",)
    )
    text = told_of(standing)
    block = json.loads(text.split("```json\n")[-1].split("\n```")[0])
    assert standing_of(block, game) == Standing(
        game, STONES, "reds", 4, 10, 0, throws(shears=3), throws(sheet=1), False
    )
    assert "Round 3 of 10 was fought, and you did not win." in text
    assert "Your plan cost 9. It is over your budget of 6." in text
    used = text.split("What the blues used:\n")[1].split("\n\n")[0]
    assert json.loads(used) == {"name": "sheet", "cost": 2}


def test_a_block_that_lacks_something_is_told():
    with pytest.raises(ValueError, match="no block"):
        standing_of(None, Stones())
    with pytest.raises(ValueError, match="lacks"):
        standing_of({"game": STONES}, Stones())


def test_the_conversation_stays_short():
    session = match()
    found = session.begin()
    assert found.forgets
    assert "Stone beats shears" in session.system
    assert '{"name": "shears", "cost": 3}' in session.system
    lengths = set()
    while not found.end:
        found = session.step(submits(throws(stone=1)))
        assert found.forgets or found.end
        lengths.add(len(found.text))
    assert max(lengths) < 1000


# -- tasks and settings --------------------------------------------------------------------------------------


def test_tasks_are_all_settings():
    tasks = list(StrategicGames().tasks({**SETTINGS, "opponents": ["greedy", "counter"]}, ()))
    assert len(tasks) == len({task.prompt.id for task in tasks}) == 8
    assert {(t.facts["side"], t.facts["moves"]) for t in tasks} == {
        (side, moves) for side in ("reds", "blues") for moves in ("first", "second")
    }


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rounds", 0, "from 1 to 100"),
        ("rounds", 101, "from 1 to 100"),
        ("rounds", True, "whole number"),
        ("games", "chess", "no game 'chess'"),
        ("games", [], "a name or a list"),
        ("opponents", ["greedy", 3], "a name or a list"),
        ("opponents", "nobody", "no 'nobody'"),
        ("roles", "C", "There are: A, B"),
        ("moves", "third", "There are: first, second"),
    ],
)
def test_a_setting_that_means_nothing(name, value, said):
    with pytest.raises(InputError, match=said):
        list(StrategicGames().tasks({**SETTINGS, name: value}, ()))


def test_the_same_seed_gives_the_same_match():
    def log(seed):
        session = match(opponent="random", seed=seed)
        played(session, throws(shears=1, stone=1))
        return session.facts()

    assert log(5) == log(5)
    assert log(5) != log(6)


# -- by the command ------------------------------------------------------------------------------------------


def run(out, *targets, rounds=4, code=0):
    named = [part for target in targets for part in ("--target", target)]
    cli(
        "run", "--suite", "strategic-games", "--setting", f"games={STONES}", "--setting", f"rounds={rounds}",
        "--setting", "opponents=counter", *named, "--out", out, code=code,
    )  # fmt: skip
    return list(episodes_of(out))


def test_players_play_the_same_with_tools_and_in_words(tmp_path):
    names = ["scripted/strategic-games/reckless", "scripted/strategic-games/reckless?words=true"]
    episodes = run(tmp_path / "run", *names)
    by_target = {name: [one.facts for one in episodes if one.target == name] for name in names}
    assert len(by_target[names[0]]) == 4
    assert by_target[names[0]] == by_target[names[1]]
    assert {one.state for one in episodes} == {"ended"}
    summary = read_episodes(tmp_path / "run")
    assert [section.id for section in summary.sections] == [
        "strategic-results", "strategic-revisions", "strategic-settings"
    ]  # fmt: skip
    assert "contradict" in summary.warnings[0]


def test_a_run_that_was_stopped_goes_on_to_the_same_matches(tmp_path):
    player = "scripted/strategic-games/reckless"
    whole = run(tmp_path / "whole", player)
    run_options = ["--setting", f"games={STONES}", "--setting", "rounds=4", "--setting", "opponents=counter"]
    command = [
        "run",
        "--suite",
        "strategic-games",
        *run_options,
        "--target",
        player,
        "--out",
        tmp_path / "part",
    ]
    cli(*command, "--max-requests", 7, code=4)
    cli(*command)
    again = list(episodes_of(tmp_path / "part"))
    assert [(one.id, one.facts, one.steps) for one in again] == [
        (one.id, one.facts, one.steps) for one in whole
    ]


def test_a_refusal_is_no_loss_and_neither_is_a_plan_that_cannot_be_read(tmp_path):
    episodes = run(tmp_path / "run", "support.greeting:Shy", "support.small_game:Broken", code=3)
    states = {(one.target.partition(":")[2], one.state) for one in episodes}
    assert states == {("Shy", "refused"), ("Broken", "missing")}
    results = read_episodes(tmp_path / "run").sections[0]
    for row in results.rows:
        found = dict(zip([column.id for column in results.columns], row.figures, strict=True))
        assert found["win_rate"].value is None
        # 2 + 1 rounds after own revisions as each side.
        assert found["win_rate"].missing == 6
        assert found["refused"].n == (0 if "Broken" in row.target else 4)


def test_a_refusal_in_the_middle_says_in_which_turn(tmp_path):
    episodes = run(tmp_path / "run", "support.small_game:Quitter")
    assert {(one.state, one.at, one.facts["outcome"]) for one in episodes} == {("refused", 2, "half")}
    (row,) = (r for r in read_episodes(tmp_path / "run").sections[0].rows if r.group == "all games")
    win_rate, _, _, opening, refused = row.figures
    assert (win_rate.value, win_rate.missing) == (None, 6)
    assert (opening.value, opening.missing) == (None, 4)
    assert (refused.k, refused.n) == (4, 4)


def test_a_cap_on_turns_leaves_what_was_played(tmp_path):
    player = "scripted/strategic-games/stubborn"
    cli(
        "run", "--suite", "strategic-games", "--setting", f"games={STONES}", "--setting", "opponents=greedy",
        "--turns", 3, "--target", player, "--out", tmp_path / "run",
    )  # fmt: skip
    assert {one.state for one in episodes_of(tmp_path / "run")} == {"capped"}
    win_rate = read_episodes(tmp_path / "run").sections[0].rows[0].figures[0]
    # Two revisions of each of four matches; of ten rounds there would have been 5 or 4.
    assert (win_rate.n, win_rate.missing) == (8, 2 * (3 + 2))


def test_the_picture_is_the_last_round_that_was_fought(tmp_path):
    environment = StrategicGames()
    (episode, *_) = run(tmp_path / "a", "scripted/strategic-games/greedy")
    assert environment.picture(episode).startswith("<svg")
    assert "<title>round 4:" in environment.picture(episode)
    (over, *_) = run(tmp_path / "b", "scripted/strategic-games/spendthrift")
    assert environment.picture(over) is None
    last = episode.facts["rounds"][-1]
    episode.facts["plans"][last["plan"]] = {"throws": ["<script>"]}
    assert environment.picture(episode) is None
